"""What can be set from outside, read once from an injected environment.

Use ``Settings.from_env(os.environ)`` in the command line and plain ``Settings(...)`` in tests. Everything has a default
except the addresses of PostgreSQL and Redis, which the demo fills in with embedded servers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast
from urllib.parse import urlsplit, urlunsplit

from botmetry.settings import LogSettings
from midas.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]

TELEGRAM_API_URL: Final = "https://api.telegram.org"
DEEPSEEK_API_URL: Final = "https://api.deepseek.com"

_LEVELS: Final = ("debug", "info", "warning", "error")
_TOKEN: Final = re.compile(r"\d+:\S+")
_ENVIRONMENT_NAMES: Final = {
    "database_url": "DATABASE_URL",
    "redis_url": "REDIS_URL",
    "telegram_token": "TELEGRAM_BOT_TOKEN",
    "deepseek_api_key": "DEEPSEEK_API_KEY",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, with secrets kept out of ``repr``.

    An empty string means *not set*; ``required`` turns that into an error where the value is needed.
    """

    database_url: str = field(default="", repr=False)
    """Address of PostgreSQL, ``postgresql://user:password@host:port/database``."""
    redis_url: str = field(default="", repr=False)
    """Address of Redis, ``redis://host:port/0``, ``rediss://…`` or ``unix://path``."""
    telegram_token: str = field(default="", repr=False)
    """Token of the bot, as BotFather gives it."""
    telegram_api_url: str = TELEGRAM_API_URL
    """Address of the Bot API server."""
    deepseek_api_key: str = field(default="", repr=False)
    """Key of the language model; without it no language model is asked."""
    llm_base_url: str = DEEPSEEK_API_URL
    """Address of any server that speaks OpenAI's chat completion protocol."""
    llm_model: str = "deepseek-chat"
    """Model that is asked."""
    bot_metrics_port: int = 8000
    """TCP port of the bot's metrics; 0 takes a free one."""
    worker_metrics_port: int = 8001
    """TCP port of the first worker's metrics; 0 takes a free one."""
    auto_confirm_threshold: float = 0.85
    """Confidence in 0..1 from which on a category is kept without asking the user."""
    log_level: LogLevel = "info"
    """Least severe level that is written."""
    log_output: str = "stderr"
    """``stderr``, ``stdout``, ``none`` or the path of a file."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check every setting; a variable that is empty counts as not set.

        Raises:
            SettingsError: A value is impossible; the message names the variable, and the value unless it is a secret.
        """
        read = _Reader(environ)
        return cls(
            database_url=read.url("DATABASE_URL", "", ("postgresql", "postgres"), secret=True),
            redis_url=read.url("REDIS_URL", "", ("redis", "rediss", "unix"), secret=True),
            telegram_token=read.token("TELEGRAM_BOT_TOKEN"),
            telegram_api_url=read.url("TELEGRAM_API_URL", TELEGRAM_API_URL, ("https", "http")),
            deepseek_api_key=read.text("DEEPSEEK_API_KEY", ""),
            llm_base_url=read.url("LLM_BASE_URL", DEEPSEEK_API_URL, ("https", "http")),
            llm_model=read.text("LLM_MODEL", "deepseek-chat"),
            bot_metrics_port=read.port("BOT_METRICS_PORT", 8000),
            worker_metrics_port=read.port("WORKER_METRICS_PORT", 8001),
            auto_confirm_threshold=read.ratio("AUTO_CONFIRM_THRESHOLD", 0.85),
            log_level=read.level("LOG_LEVEL"),
            log_output=read.text("LOG_OUTPUT", "stderr"),
        )

    @property
    def log(self) -> LogSettings:
        """What ``Telemetry(log=…)`` wants: the level and the output."""
        return LogSettings(level=self.log_level, output=self.log_output)

    def required(
        self, name: Literal["database_url", "redis_url", "telegram_token", "deepseek_api_key"]
    ) -> str:
        """Give a setting that the caller cannot do without.

        Raises:
            SettingsError: It is not set.
        """
        value: str = getattr(self, name)
        if not value:
            raise SettingsError(_ENVIRONMENT_NAMES[name], "is not set, and this needs it")
        return value


def without_password(url: str) -> str:
    """Give the address as it may be shown: user, password and query are left out."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
    except ValueError:
        return "an address that cannot be read"
    if ":" in host:
        host = f"[{host}]"
    return urlunsplit((parts.scheme, host if port is None else f"{host}:{port}", parts.path, "", ""))


class _Reader:
    """Turns strings of the environment into checked values."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str) -> str:
        return self._environ.get(name, "").strip() or default

    def url(self, name: str, default: str, schemes: tuple[str, ...], *, secret: bool = False) -> str:
        value = self.text(name, default)
        if not value:
            return value
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError as error:
            raise SettingsError(name, "is not an address that can be read") from error
        if parts.scheme not in schemes:
            shown = "" if secret else f" and not {value!r}"
            raise SettingsError(name, f"must start with {' or '.join(f'{s}://' for s in schemes)}{shown}")
        return value

    def token(self, name: str) -> str:
        value = self.text(name, "")
        if value and not _TOKEN.fullmatch(value):
            raise SettingsError(name, "is not a bot token: it must look like 123456:letters-and-digits")
        return value

    def port(self, name: str, default: int) -> int:
        value = self.text(name, str(default))
        try:
            port = int(value)
        except ValueError as error:
            raise SettingsError(name, f"must be a number from 0 to 65535 and not {value!r}") from error
        if not 0 <= port <= 65535:  # noqa: PLR2004 -- the range of TCP ports
            raise SettingsError(name, f"must be a number from 0 to 65535 and not {value!r}")
        return port

    def ratio(self, name: str, default: float) -> float:
        value = self.text(name, str(default))
        try:
            ratio = float(value)
        except ValueError as error:
            raise SettingsError(name, f"must be a number from 0 to 1 and not {value!r}") from error
        # A comparison with NaN is false, so NaN is refused here, too.
        if not 0.0 <= ratio <= 1.0:
            raise SettingsError(name, f"must be a number from 0 to 1 and not {value!r}")
        return ratio

    def level(self, name: str) -> LogLevel:
        value = self.text(name, "info").lower()
        if value not in _LEVELS:
            raise SettingsError(name, f"must be one of {', '.join(_LEVELS)} and not {value!r}")
        return cast("LogLevel", value)
