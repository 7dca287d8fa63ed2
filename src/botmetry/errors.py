"""The errors botmetry raises, in one tree.

::

    BotmetryError
    ├── SettingsError (ValueError)      an option or environment variable has a value that cannot be used
    ├── MetricError (ValueError)        a metric is declared or used against its own declaration
    ├── MissingExtraError (ImportError) an optional library is not installed
    ├── ServerStartError (OSError)      the metrics server cannot listen
    └── StackError                      a file of the monitoring stack is wrong or missing

Every one of them is raised while a program is being put together: constructing, declaring, starting.
Once a program runs, botmetry counts its own failures and never raises into the host.
"""

from __future__ import annotations

__all__ = [
    "BotmetryError",
    "MetricError",
    "MissingExtraError",
    "ServerStartError",
    "SettingsError",
    "StackError",
]


class BotmetryError(Exception):
    """The base of every error that botmetry raises."""


class SettingsError(BotmetryError, ValueError):
    """An option or environment variable has a value that cannot be used.

    Attributes:
        name: The option or variable.
        value: What was given, as text.
        expected: What would have been right.
    """

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"{name}={value!r} cannot be used: expected {expected}")
        self.name = name
        self.value = str(value)
        self.expected = expected


class MetricError(BotmetryError, ValueError):
    """A metric is declared or used against its own declaration.

    Attributes:
        metric: The metric's name.
    """

    def __init__(self, metric: str, reason: str) -> None:
        super().__init__(f"metric {metric}: {reason}")
        self.metric = metric


class MissingExtraError(BotmetryError, ImportError):
    """An optional library is not installed.

    Attributes:
        extra: The extra of botmetry that brings it.
    """

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed; run: pip install 'botmetry[{extra}]'", name=library)
        self.extra = extra


class ServerStartError(BotmetryError, OSError):
    """The metrics server cannot listen.

    Attributes:
        host: The address it was asked to bind.
        port: The port it was asked to bind.
    """

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"metrics server cannot listen on {host}:{port}: {reason}")
        self.host = host
        self.port = port


class StackError(BotmetryError):
    """A file of the monitoring stack is wrong or missing."""
