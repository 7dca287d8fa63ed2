"""midas' own programs as the demo runs them: the local internet, the bot, the workers, and the environment they get."""

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from midas.demo.kept import Program
from midas.demo.options import DemoOptions
from midas.demo.ports import free_port

__all__ = ["Access", "Fleet"]

_HOST = "127.0.0.1"
_MINUTE = 60.0

# What a child needs of our environment to be the same Python in the same place; everything else it gets is named below.
_PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "VIRTUAL_ENV",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
_SETTINGS = ("AUTO_CONFIRM_THRESHOLD", "LLM_MODEL", "LOG_LEVEL")


@dataclass(frozen=True, slots=True)
class Access:
    """Addresses and secrets of what the bot and the workers talk to outside this machine, or on it in its place.

    Attributes:
        internet_port: Of the local internet; None when Telegram and the language model are both the real ones.
        telegram_is_real: Whether people on Telegram are the users.
        model_is_real: Whether a language model of somebody else's answers.
    """

    telegram_token: str = field(repr=False)
    telegram_api_url: str | None
    api_key: str = field(repr=False)
    llm_base_url: str | None
    internet_port: int | None
    telegram_is_real: bool
    model_is_real: bool

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Access":
        """Take the real service for each token or key that is set, the local one for each that is not."""
        token = environ.get("TELEGRAM_BOT_TOKEN", "").strip()
        key = environ.get("DEEPSEEK_API_KEY", "").strip()
        port = None if token and key else free_port()
        local = f"http://{_HOST}:{port}"
        return cls(
            telegram_token=token or _invented_token(),
            telegram_api_url=(environ.get("TELEGRAM_API_URL", "").strip() or None) if token else local,
            api_key=key or f"sk-{secrets.token_hex(16)}",
            llm_base_url=(environ.get("LLM_BASE_URL", "").strip() or None) if key else f"{local}/v1",
            internet_port=port,
            telegram_is_real=bool(token),
            model_is_real=bool(key),
        )

    @property
    def control_url(self) -> str | None:
        """Return the address of the local internet's control panel, or None without one."""
        return None if self.internet_port is None else f"http://{_HOST}:{self.internet_port}/control"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Makes the programs.

    Args:
        options: Workers, seed and ports.
        access: Messenger and language model.
        environ: Where the passed-on variables are read from.
        logs: Folder of the log files: ``midas-<name>.jsonl``, and ``.log`` for what is printed besides.
    """

    options: DemoOptions
    access: Access
    environ: Mapping[str, str] = field(repr=False)
    logs: Path

    def internet(self) -> Program:
        """Return the local messenger and language model; only where one of them is not the real one.

        Its secrets stand on its command line, where everybody on this machine can read them: invented ones only.
        """
        access = self.access
        people = ["--token", access.telegram_token]
        if access.telegram_is_real:
            people = ["--token", _invented_token(), "--users", "0"]
        return Program(
            "internet",
            _python(
                "midas.demo.internet",
                *("--port", str(access.internet_port), "--seed", str(self.options.seed)),
                *("--speed", str(self.options.speed)),
                *people,
                *(() if access.model_is_real else ("--api-key", access.api_key)),
            ),
            self.logs / "midas-internet.jsonl",  # it logs to its standard output
            f"{access.control_url}/stats",
            self._inherited(),
        )

    def bot(self, stores: Mapping[str, str]) -> Program:
        """Return the bot; `stores` holds ``DATABASE_URL`` and ``REDIS_URL``."""
        port = self.options.ports.bot
        environ = self._environment("bot", stores) | {
            "TELEGRAM_BOT_TOKEN": self.access.telegram_token,
            "BOT_METRICS_PORT": str(port),
        }
        if self.access.telegram_api_url:
            environ["TELEGRAM_API_URL"] = self.access.telegram_api_url
        return Program(
            "bot",
            _python("midas.cli", "bot"),
            self._output("bot"),
            _ready(port),
            environ,
            start_seconds=_MINUTE,
            ready_mark="telegram",  # its last check: a refused token shows before it passes
        )

    def workers(self, stores: Mapping[str, str]) -> list[Program]:
        """Return the workers, called worker-1, worker-2 and so on; `stores` as for the bot."""
        return [self._worker(number, stores) for number in range(1, self.options.workers + 1)]

    def _worker(self, number: int, stores: Mapping[str, str]) -> Program:
        name = f"worker-{number}"
        port = self.options.ports.worker + number - 1
        command = _python("midas.cli", "worker", "--id", name, "--metrics-port", str(port))
        return Program(
            name,
            command,
            self._output(name),
            _ready(port),
            self._environment(name, stores),
            start_seconds=_MINUTE,
        )

    def _environment(self, name: str, stores: Mapping[str, str]) -> dict[str, str]:
        environ = {
            **self._inherited(),
            **stores,
            "DEEPSEEK_API_KEY": self.access.api_key,
            "LOG_OUTPUT": str(self.logs / f"midas-{name}.jsonl"),
        }
        if self.access.llm_base_url:
            environ["LLM_BASE_URL"] = self.access.llm_base_url
        return environ

    def _inherited(self) -> dict[str, str]:
        kept = (*_PASSED_ON, *_SETTINGS)
        return {"PYTHONUNBUFFERED": "1"} | {
            name: self.environ[name] for name in kept if self.environ.get(name)
        }

    def _output(self, name: str) -> Path:
        """Return the file for what is printed besides the log: the last words of a crash."""
        return self.logs / f"midas-{name}.log"


def _invented_token() -> str:
    return f"{secrets.randbelow(10**9) + 10**9}:{secrets.token_urlsafe(26)}"


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (os.fspath(sys.executable), "-m", module, *arguments)


def _ready(port: int) -> str:
    return f"http://{_HOST}:{port}/readyz"
