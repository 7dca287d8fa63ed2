"""The demo's branch of the error tree, each one clear line for a person.

::

    MidasError
    └── DemoError
        ├── ServerStartError    an embedded server or a program of ours does not come up
        ├── PortTaken           somebody else listens where a part of the demo should
        └── WrongCall           an option has an impossible value
"""

from midas.errors import MidasError

__all__ = ["DemoError", "PortTaken", "ServerStartError", "WrongCall"]


class DemoError(MidasError):
    """The demo cannot start, or not go on."""


class ServerStartError(DemoError):
    """A program did not come up; the message holds its last words and the file with the rest."""


class PortTaken(DemoError):  # noqa: N818 - named for what happened, as its relatives are
    """Somebody else listens on a port that a part of the demo needs.

    Attributes:
        port: The TCP port.
        part: Whose port it is.
    """

    def __init__(self, port: int, part: str, advice: str) -> None:
        super().__init__(f"port {port} for {part} is taken: {advice}")
        self.port = port
        self.part = part


class WrongCall(DemoError):  # noqa: N818 - as above
    """An option of the command line has an impossible value."""
