"""`Telemetry`: everything botmetry knows of one program, one attribute a family."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from botmetry import __version__, context, tracing
from botmetry.instrument import Reporter
from botmetry.logs import EventLogger, Redactor, open_log
from botmetry.metrics import CATALOGUE, Registry
from botmetry.settings import (
    LEVELS,
    LogSettings,
    ServerSettings,
    TelemetrySettings,
    TracingSettings,
    settings_from_env,
)
from botmetry.telemetry.active_users import ActiveUsers
from botmetry.telemetry.ai import Ai
from botmetry.telemetry.bot import Bot
from botmetry.telemetry.celery import Celery
from botmetry.telemetry.confirmations import Confirmations
from botmetry.telemetry.database import Database
from botmetry.telemetry.failures import Failures
from botmetry.telemetry.own_metrics import OwnMetrics
from botmetry.telemetry.probes import DEFAULT_TIMEOUT_SECONDS, Probes, Refresh
from botmetry.telemetry.queue import Queue
from botmetry.telemetry.redis import Redis
from botmetry.telemetry.runtime import Runtime
from botmetry.telemetry.saga import Saga
from botmetry.telemetry.transactions import Transactions
from botmetry.telemetry.workshop import Workshop

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from botmetry.metrics.prefork import InFolder
    from botmetry.server import Serving, ThreadServer

__all__ = ["Check", "Telemetry"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must work for the program to be ready.

    Attributes:
        probe: Raises or returns False when it does not work; plain or async.
        timeout: Seconds it may take.
    """

    probe: Callable[[], Awaitable[object] | object]
    timeout: float


class Telemetry(OwnMetrics):
    """Metrics, log and traces of one program.

    Constructing it opens no socket, starts no thread and reads no environment; the log's writer starts with the
    first line. Once constructed, nothing here raises into the program because of the telemetry's own failures:
    they are counted in `telemetry_errors_total{component}` and logged once a place.

    Attributes:
        settings: The options it was made with.
        registry: The metrics: an ordinary prometheus_client collector.
        log: Structured events, such as `log.info("order.paid", band="small")`.
        checks: What `/readyz` asks, by name.
        tracer: Where spans come from, for what no family counts: an update, a request.
        bot: Commands, updates, users, calls to the Bot API.
        ai: Tasks given to a model, their confidence and cost.
        transactions: Imports and categories.
        queue: Tasks in queues.
        saga: Work in steps that are undone when one fails.
        confirmations: Questions that wait for people.
        database: Statements and their pool.
        redis: Commands and their pool.
        celery: Tasks of Celery, its queues, workers and schedules.
        runtime: The process itself.
    """

    def __init__(
        self,
        service: str,
        *,
        version: str = "",
        series_limit: int | None = 1000,
        series_limits: Mapping[str, int | None] | None = None,
        log: LogSettings | None = None,
        server: ServerSettings | None = None,
        tracing: TracingSettings | None = None,
        tracer_provider: TracerProvider | None = None,
        prefork: bool | str | os.PathLike[str] = False,
    ) -> None:
        """Put the telemetry of a program together.

        Args:
            service: The program's name: lower-case letters, digits, `-` and `_`.
            version: The program's version.
            series_limit: Label combinations a metric may have before further ones go to `__other__`; None for no limit.
            series_limits: Other limits for single metrics, by name.
            log: Where log lines go; by default to standard error, from level info.
            server: How `serve()` listens, unless it is told otherwise.
            tracing: Where spans are sent; by default they are identifiers in the log and nothing more.
            tracer_provider: An OpenTelemetry provider that you made, instead of `tracing`.
            prefork: Let several processes count together, and any of them be scraped for all: True for those that are
                forked from this one later, or a folder, which is needed where each process imports the program anew;
                each service has a folder of its own.

        Raises:
            SettingsError: An option cannot be used.
            MissingExtraError: Spans are to be sent and OpenTelemetry is not installed.
        """
        self.settings = TelemetrySettings(
            service,
            version,
            series_limit,
            log or LogSettings(),
            server or ServerSettings(),
            tracing or TracingSettings(),
            prefork if isinstance(prefork, bool) else os.fspath(prefork),
        )
        self.internal_error = Failures()
        self._processes = self._share(self.settings.prefork)
        self.registry = Registry(
            series_limit=series_limit,
            # The telemetry's own health has a series a metric, and must not overflow into itself.
            series_limits={
                "telemetry_series": None,
                "telemetry_series_overflow_total": None,
                **(series_limits or {}),
            },
            failed=self._value_failed,
            overflowed=self._overflowed,
            keeping=self._processes,
        )
        self.checks: dict[str, Check] = {}
        self._probes = Probes(self.internal_error)
        self._errors = self.registry.counter(CATALOGUE["telemetry_errors_total"])
        self._overflow = self.registry.counter(CATALOGUE["telemetry_series_overflow_total"])
        self._add_families(tracer_provider)

    def _add_families(self, tracer_provider: TracerProvider | None) -> None:
        self.tracer = self._make_tracer(tracer_provider)
        counted = self.registry.counter(CATALOGUE["log_records_total"])
        self.log: EventLogger = open_log(
            self.settings.service,
            self.settings.log,
            counted={level: counted.labels(level).inc for level in LEVELS},
            failed=self.internal_error,
            dropped=lambda lines: self._errors.labels("logs").inc(lines),
            span=self.tracer.current,
        )
        self.internal_error.connect(lambda component: self._errors.labels(component).inc(), self._log_failure)
        silent = self.settings.log.output == "none"
        workshop = Workshop(
            self.registry, Reporter(None if silent else self.log, self.tracer, self.internal_error)
        )
        processes = self._processes
        self.bot = Bot(workshop, ActiveUsers(None if processes is None else processes.users()))
        self.ai = Ai(workshop)
        self.transactions = Transactions(workshop)
        self.queue = Queue(workshop, self._probes)
        self.saga = Saga(workshop, self._probes)
        self.confirmations = Confirmations(workshop, self._probes)
        self.database = Database(workshop, self._probes)
        self.redis = Redis(workshop, self._probes)
        self.celery = Celery(workshop, self._probes)
        self.runtime = Runtime(
            workshop, self.settings.version, None if processes is None else processes.process_collector()
        )
        for metric in self.registry.metrics():
            self.runtime.watch_series(metric)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: object) -> Self:
        """Make a `Telemetry` from `BOTMETRY_*` and the standard `OTEL_*` variables.

        Args:
            environ: The variables; the process's own when left out.
            overrides: Options of `Telemetry` that win over the variables.

        Raises:
            SettingsError: A variable or option cannot be used, or no service name is given.
        """
        variables = dict(os.environ if environ is None else environ)
        if isinstance(overrides.get("service"), str):
            variables["BOTMETRY_SERVICE"] = str(overrides["service"])
        if any(overrides.get(option) is not None for option in ("tracing", "tracer_provider")):
            # What they say is for the program's own SDK then, which knows more exporters and samplers than we do.
            variables = {
                name: text for name, text in variables.items() if not name.startswith("OTEL_TRACES_")
            }
        settings = settings_from_env(variables)
        known: dict[str, object] = {
            "service": settings.service,
            "version": settings.version,
            "series_limit": settings.series_limit,
            "log": settings.log,
            "server": settings.server,
            "tracing": settings.tracing,
            "prefork": settings.prefork,
        }
        return cls(**{**known, **overrides})  # type: ignore[arg-type]

    @property
    def service(self) -> str:
        """The program's name."""
        return self.settings.service

    @property
    def version(self) -> str:
        """The program's version."""
        return self.settings.version

    def render(self, *, openmetrics: bool = False) -> bytes:
        """Return the exposition, with the values of the last `refresh`."""
        return self.registry.render(openmetrics=openmetrics)

    # Context ----------------------------------------------------------------------------------------------

    def context(self, **fields: object) -> AbstractContextManager[None]:
        """Put fields, such as `user_id`, into every log line of a `with` block and of the tasks it starts."""
        return context.scope(**fields)

    def carrier(self) -> dict[str, str]:
        """Return the current trace and context as text pairs, to be sent along in a message."""
        return tracing.carrier(self.tracer.current)

    def continue_from(self, carrier: Mapping[str, str]) -> AbstractContextManager[None]:
        """Go on, for a `with` block, with the trace and context that a message brought."""
        return tracing.continue_from(carrier, self.tracer.enter)

    # Health -----------------------------------------------------------------------------------------------

    def add_check(
        self, name: str, probe: Callable[[], Awaitable[object] | object], timeout: float = 2.0
    ) -> None:
        """Have `/readyz` ask `probe`, which raises or returns False when something does not work.

        A plain function runs in a thread, because it may block; `timeout` is in seconds.
        """
        self.checks[name] = Check(probe, timeout)

    def at_scrape(
        self, refresh: Refresh, *, name: str | None = None, timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        """Run `refresh`, which sets gauges, before each scrape; plain or async. Keep it short: the loop waits for it.

        Args:
            refresh: What to run. Adding it again changes its timeout.
            name: The component a failure is counted under, by default the function's name; a second function of a
                name that was given replaces the first.
            timeout: Seconds it may take.
        """
        component = name or str(getattr(refresh, "__qualname__", "at_scrape"))
        # Functions of the same default name, such as two lambdas of one function, are two all the same.
        self._probes.add(component, refresh, timeout=timeout, key=None if name else refresh)

    async def refresh(self) -> None:
        """Bring the values that are asked for at scrape time up to date."""
        await self._probes.run()

    # The server -------------------------------------------------------------------------------------------

    def serve(self, host: str | None = None, port: int | None = None) -> Serving:
        """Serve `/metrics`, `/healthz`, `/readyz` and `/`: use it with `async with`, or await it for a handle.

        Args:
            host: The address to bind; the settings', by default 127.0.0.1.
            port: The port, 0 for a free one; the settings', by default 8000.
        """
        from botmetry.server import Serving  # noqa: PLC0415 - aiohttp is paid for by those who serve

        return Serving(self, self._server_settings(host, port))

    def serve_in_thread(self, host: str | None = None, port: int | None = None) -> ThreadServer:
        """Serve from a thread, for programs without an event loop; see `serve`.

        Raises:
            ServerStartError: The port cannot be had.
        """
        from botmetry.server import start_in_thread  # noqa: PLC0415 - see `serve`

        return start_in_thread(self, self._server_settings(host, port))

    def capture_logging(self) -> Callable[[], None]:
        """Send the records of the stdlib's `logging`, so those of other libraries, to this log; returns the undo.

        They come out in the format of the events, with the same context, redaction and output.
        """
        from botmetry.logs.stdlib import install  # noqa: PLC0415 - the encoder is paid for by those who ask

        return install(self.log)

    def close(self) -> None:
        """Write out what waits in the log and send the spans, giving each 5 s. Call it as often as you like."""
        self.log.close()
        if self._provider is not None:
            tracing.flush(self._provider)

    def _server_settings(self, host: str | None, port: int | None) -> ServerSettings:
        settings = self.settings.server
        return replace(
            settings,
            host=settings.host if host is None else host,
            port=settings.port if port is None else port,
            reuse_port=settings.reuse_port or self._processes is not None,
        )

    def _share(self, prefork: bool | str) -> InFolder | None:  # noqa: FBT001 - it is the user's word, as given
        if prefork is False:
            return None
        from botmetry.metrics.prefork import InFolder  # noqa: PLC0415 - only where processes count together

        return InFolder(prefork, lambda error: self.internal_error("prefork", error), self.settings.service)

    def _make_tracer(self, provider: TracerProvider | None) -> tracing.Tracer:
        if provider is None:
            provider = tracing.provider_from_settings(
                self.settings.service, self.settings.version, self.settings.tracing
            )
        self._provider = provider
        if provider is None:
            return tracing.IdentityTracer()
        from botmetry.tracing.otel import OtelTracer  # noqa: PLC0415 - only where OpenTelemetry is installed

        redactor = Redactor(self.settings.log.redact_keys, self.settings.log.user_id_key)
        return OtelTracer(provider, __version__, redactor.fields)

    def _value_failed(self, metric: str, error: BaseException) -> None:
        self.internal_error(f"metrics.{metric}", error)

    def _overflowed(self, metric: str) -> None:
        self._overflow.labels(metric).inc()

    def _log_failure(self, component: str, error: BaseException) -> None:
        self.log.error("telemetry.failed", component=component, exc_info=error)
