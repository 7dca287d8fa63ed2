"""The internet as midas sees it, on this machine: the Bot API with the people behind it, and a language model.

Both speak the real protocols over real sockets, so that the real clients run against them unmodified.
`serve_internet` is the whole of it; `python -m midas.demo.internet` runs it as a process.
"""

from midas.demo.internet.accounts import Account
from midas.demo.internet.exchange import Incoming
from midas.demo.internet.faults import Failure
from midas.demo.internet.flood import FloodLimits
from midas.demo.internet.server import Internet, InternetOptions, serve_internet

__all__ = ["Account", "Failure", "FloodLimits", "Incoming", "Internet", "InternetOptions", "serve_internet"]
