"""The command line: ``midas demo | bot | worker | import | saga | queue | migrate | setup``."""

from midas.cli.program import main

__all__ = ["main"]
