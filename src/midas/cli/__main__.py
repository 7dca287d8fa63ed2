"""``python -m midas.cli``: the command line without its script."""

import sys

from midas.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
