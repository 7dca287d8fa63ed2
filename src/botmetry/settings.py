"""Every option of botmetry, as values; the environment is read here and nowhere else.

`BOTMETRY_*` are ours; `OTEL_SERVICE_NAME`, `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER`,
`OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` and `OTEL_EXPORTER_OTLP_ENDPOINT` mean what OpenTelemetry says they
mean (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from botmetry.errors import SettingsError

__all__ = [
    "LEVELS",
    "LogSettings",
    "ServerSettings",
    "TelemetrySettings",
    "TracingSettings",
    "settings_from_env",
]

LEVELS: Mapping[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

_SERVICE = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_SAMPLERS = ("always_on", "always_off", "traceidratio")
_PARENT_BASED = "parentbased_"
_MAX_PORT = 65_535

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where log lines go and what they may contain.

    Attributes:
        level: The least level that is written: debug, info, warning, error or critical.
        output: `stderr`, `stdout`, `none`, or the path of a file that is appended to.
        redact_keys: Further field names whose values are removed, besides the built-in ones.
        user_id_key: When given, `user_id` is written as a keyed hash made with this secret.
        buffer_bytes: How many bytes may wait for a slow output before lines are dropped and counted.
    """

    level: str = "info"
    output: str = "stderr"
    redact_keys: tuple[str, ...] = ()
    user_id_key: str | None = field(default=None, repr=False)
    buffer_bytes: int = 8 * 1024 * 1024

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise SettingsError("level", self.level, "one of " + ", ".join(LEVELS))
        if not self.output:
            raise SettingsError("output", self.output, "stderr, stdout, none or the path of a file")
        if isinstance(self.redact_keys, str):  # its letters would be the keys, and what it names be written
            raise SettingsError(
                "redact_keys", self.redact_keys, f"several names, such as ({self.redact_keys!r},)"
            )
        if self.user_id_key is not None and not self.user_id_key:
            raise SettingsError("user_id_key", "", "a secret, or None to write user ids as they are")
        if not _is_number(self.buffer_bytes, at_least=64 * 1024):  # one long traceback must fit
            raise SettingsError("buffer_bytes", self.buffer_bytes, "at least 65536")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How the metrics server listens and what it accepts.

    Attributes:
        host: The address to bind. The default is reachable from this machine only.
        port: The port to bind, 0 for any free one.
        bearer_token: When given, `/metrics`, `/readyz` and `/` need `Authorization: Bearer …`.
        basic_auth: User and password, as an alternative to the token.
        tls_certificate: Path of a PEM certificate chain; with `tls_key` the server speaks HTTPS only.
        tls_key: Path of the PEM private key.
        max_concurrency: Scrapes under way at once; one more is answered 503.
        header_timeout_seconds: How long a client may take to send its request head.
        max_request_bytes: The longest request line, header or body that is read.
        reuse_port: Whether other processes may listen on the same port (SO_REUSEPORT); each scrape reaches one of them.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    bearer_token: str | None = field(default=None, repr=False)
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    tls_certificate: str | None = None
    tls_key: str | None = None
    max_concurrency: int = 8
    header_timeout_seconds: float = 5.0
    max_request_bytes: int = 16 * 1024
    reuse_port: bool = False

    def __post_init__(self) -> None:
        if not _is_number(self.port, at_least=0) or self.port > _MAX_PORT:
            raise SettingsError("port", self.port, f"0 to {_MAX_PORT}")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingsError(
                "tls_certificate", self.tls_certificate, "a certificate and a key, or neither"
            )
        if self.bearer_token is not None and self.basic_auth is not None:
            raise SettingsError("basic_auth", "…", "either a bearer token or basic auth, not both")
        if self.bearer_token is not None and not self.bearer_token:  # it would let in who sends an empty one
            raise SettingsError("bearer_token", "", "a secret, or None to let everybody read")
        if self.basic_auth is not None and not _is_user_and_password(self.basic_auth):
            raise SettingsError("basic_auth", "…", "a user name without a colon, and a password")
        if not _is_number(self.max_concurrency, at_least=1):
            raise SettingsError("max_concurrency", self.max_concurrency, "at least 1")
        if not _is_number(self.header_timeout_seconds, at_least=0) or not self.header_timeout_seconds:
            raise SettingsError("header_timeout_seconds", self.header_timeout_seconds, "more than 0")
        if not _is_number(self.max_request_bytes, at_least=1024):  # Prometheus sends some 500
            raise SettingsError("max_request_bytes", self.max_request_bytes, "at least 1024")


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """Whether spans are exported, and how many.

    Attributes:
        endpoint: OTLP/HTTP base address, such as `http://127.0.0.1:4318`; None exports nothing.
        sample_ratio: The share of traces that is kept, 0 to 1.
        parent_based: Whether a trace that came with a message is kept if its sender keeps it; else the ratio decides.
    """

    endpoint: str | None = None
    sample_ratio: float = 1.0
    parent_based: bool = True

    def __post_init__(self) -> None:
        if not _is_number(self.sample_ratio, at_least=0) or self.sample_ratio > 1:
            raise SettingsError("sample_ratio", self.sample_ratio, "0 to 1")


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """All options of one `Telemetry`.

    Attributes:
        service: The program's name in logs and traces: lower-case letters, digits, `-` and `_`.
        version: The program's version.
        series_limit: Label combinations a metric may have before further ones go to `__other__`; None for no limit.
        log: Where log lines go.
        server: How the metrics server listens.
        tracing: Whether spans are exported.
        prefork: Whether several processes share their metrics: True for those forked from here, or the folder of all.
    """

    service: str
    version: str = ""
    series_limit: int | None = 1000
    log: LogSettings = field(default_factory=LogSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)
    prefork: bool | str = False

    def __post_init__(self) -> None:
        if not isinstance(self.service, str) or not _SERVICE.fullmatch(self.service):
            raise SettingsError(
                "service", self.service, "a name such as 'shop-bot': lower-case letters, digits, - and _"
            )
        if self.series_limit is not None and not _is_number(self.series_limit, at_least=1):
            raise SettingsError("series_limit", self.series_limit, "at least 1, or None for no limit")


def _is_number(value: object, *, at_least: float) -> bool:
    return isinstance(value, int | float) and value >= at_least


def _is_user_and_password(pair: object) -> bool:
    return (
        isinstance(pair, tuple)
        and len(pair) == 2  # noqa: PLR2004 - it is a pair
        and all(isinstance(part, str) and part for part in pair)
        and ":" not in pair[0]
    )


def settings_from_env(environ: Mapping[str, str]) -> TelemetrySettings:
    """Read `BOTMETRY_*` and the standard `OTEL_*` variables from `environ`.

    Raises:
        SettingsError: A variable has a value that cannot be used, or no service name is given.
    """
    try:
        return _settings(_Environment(environ))
    except SettingsError as error:
        service = "BOTMETRY_SERVICE" if environ.get("BOTMETRY_SERVICE", "").strip() else "OTEL_SERVICE_NAME"
        variable = {**_VARIABLES, "service": service}.get(error.name, error.name)
        raise SettingsError(variable, error.value, error.expected) from None


_VARIABLES: Final[Mapping[str, str]] = {
    "series_limit": "BOTMETRY_SERIES_LIMIT",
    "level": "BOTMETRY_LOG_LEVEL",
    "port": "BOTMETRY_PORT",
    "basic_auth": "BOTMETRY_BASIC_AUTH",
    "tls_certificate": "BOTMETRY_TLS_CERTIFICATE",
    "sample_ratio": "OTEL_TRACES_SAMPLER_ARG",
}
"""Where an option came from that turned out not to be usable."""


def _settings(env: _Environment) -> TelemetrySettings:
    service = env.text("BOTMETRY_SERVICE") or env.text("OTEL_SERVICE_NAME")
    if service is None:
        raise SettingsError("BOTMETRY_SERVICE", "", "the program's name, such as 'shop-bot'")
    return TelemetrySettings(
        service=service,
        version=env.text("BOTMETRY_VERSION") or "",
        series_limit=env.series_limit(),
        log=LogSettings(
            level=(env.text("BOTMETRY_LOG_LEVEL") or "info").lower(),
            output=env.text("BOTMETRY_LOG_OUTPUT") or "stderr",
            redact_keys=env.words("BOTMETRY_REDACT_KEYS"),
            user_id_key=env.text("BOTMETRY_USER_ID_KEY"),
        ),
        server=ServerSettings(
            host=env.text("BOTMETRY_HOST") or "127.0.0.1",
            port=env.number("BOTMETRY_PORT", int, 8000, "a port number"),
            bearer_token=env.text("BOTMETRY_BEARER_TOKEN"),
            basic_auth=env.pair("BOTMETRY_BASIC_AUTH"),
            tls_certificate=env.text("BOTMETRY_TLS_CERTIFICATE"),
            tls_key=env.text("BOTMETRY_TLS_KEY"),
        ),
        tracing=env.tracing(),
        prefork=env.flag_or_text("BOTMETRY_PREFORK"),
    )


class _Environment:
    """Typed look-ups in a mapping of strings, with errors that name the variable."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str | None:
        return self._environ.get(name, "").strip() or None

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(word for word in (self.text(name) or "").replace(",", " ").split())

    def number(self, name: str, kind: Callable[[str], _T], default: _T, expected: str) -> _T:
        value = self.text(name)
        if value is None:
            return default
        try:
            return kind(value)
        except ValueError:
            raise SettingsError(name, value, expected) from None

    def flag(self, name: str) -> bool:
        value = (self.text(name) or "false").lower()
        if value not in _TRUE | _FALSE:
            raise SettingsError(name, value, "true or false")
        return value in _TRUE

    def flag_or_text(self, name: str) -> bool | str:
        value = self.text(name) or "false"
        return self.flag(name) if value.lower() in _TRUE | _FALSE else value

    def pair(self, name: str) -> tuple[str, str] | None:
        value = self.text(name)
        if value is None:
            return None
        user, colon, password = value.partition(":")
        if not (user and colon and password):
            raise SettingsError(name, "…", "user:password")
        return user, password

    def series_limit(self) -> int | None:
        if (self.text("BOTMETRY_SERIES_LIMIT") or "").lower() == "none":
            return None
        return self.number("BOTMETRY_SERIES_LIMIT", int, 1000, "a number of series, or none")

    def tracing(self) -> TracingSettings:
        # By OpenTelemetry's specification anything but "true" is false here.
        if (self.text("OTEL_SDK_DISABLED") or "").lower() == "true":
            return TracingSettings()
        exporter = self.choice("OTEL_TRACES_EXPORTER", "otlp", ("otlp", "none"))
        if exporter == "none":
            return TracingSettings()
        samplers = (*_SAMPLERS, *(_PARENT_BASED + root for root in _SAMPLERS))
        sampler = self.choice("OTEL_TRACES_SAMPLER", "parentbased_always_on", samplers)
        root = sampler.removeprefix(_PARENT_BASED)
        ratio = 0.0 if root == "always_off" else 1.0
        if root == "traceidratio":
            ratio = self.number("OTEL_TRACES_SAMPLER_ARG", float, 1.0, "a ratio of 0 to 1")
        return TracingSettings(self.text("OTEL_EXPORTER_OTLP_ENDPOINT"), ratio, parent_based=root != sampler)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(name) or default
        if value.lower() not in choices:
            raise SettingsError(name, value, "one of " + ", ".join(choices))
        return value.lower()
