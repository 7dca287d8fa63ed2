"""Calls of the command line that cannot be; its part of the tree in ``midas.errors``."""

from __future__ import annotations

from midas.errors import MidasError


class WrongCall(MidasError):  # noqa: N818 -- named for what happened, as its relatives in midas.errors
    """What was asked for names something that does not exist or cannot be done; the message says what can."""
