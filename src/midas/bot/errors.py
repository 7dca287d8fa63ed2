"""What only the bot can suffer; its part of the tree in `midas.errors`.

::

    MidasError
    └── BotError
        ├── TooSlow (TimeoutError)     something behind the bot took longer than a person waits
        └── DownloadFailed             Telegram did not give us the file that a person sent
"""

from __future__ import annotations

from midas.errors import MidasError


class BotError(MidasError):
    """Something about talking to people."""


class TooSlow(BotError, TimeoutError):  # noqa: N818 -- named for what happened, as its relatives in midas.errors
    """Something behind the bot took longer than a person waits.

    Attributes:
        seconds: How long was waited.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s; try again in a moment")
        self.seconds = seconds


class DownloadFailed(BotError):  # noqa: N818 -- as above
    """Telegram did not give us the file that a person sent.

    Attributes:
        name: Of the file.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"the file {name} could not be fetched from Telegram; please send it once more")
        self.name = name
