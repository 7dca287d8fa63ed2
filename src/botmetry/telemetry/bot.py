"""The bot family: commands, updates, users, and the calls to the Bot API."""

from __future__ import annotations

from functools import partial

from botmetry.instrument import Description, Instrument
from botmetry.telemetry.active_users import WINDOWS, ActiveUsers
from botmetry.telemetry.workshop import Kept, Workshop

__all__ = ["Bot"]


class Bot:
    """What happens between a bot and its users."""

    def __init__(self, workshop: Workshop, users: ActiveUsers | None = None) -> None:
        self._workshop = workshop
        self._requests = workshop.counter("bot_requests_total")
        self._seconds = workshop.histogram("bot_request_duration_seconds")
        self._in_progress = workshop.gauge("bot_requests_in_progress")
        self._started = workshop.unregistered_counter("bot_requests_started_total", ("command",))
        self._errors = workshop.counter("bot_errors_total")
        self._updates = workshop.counter("bot_updates_total")
        self._api_calls = workshop.counter("bot_api_calls_total")
        self._api_seconds = workshop.histogram("bot_api_call_duration_seconds")
        self._retry_after = workshop.counter("bot_api_retry_after_seconds_total")
        self._polling_lag = workshop.histogram("bot_polling_lag_seconds")
        self._users = users or ActiveUsers()
        self._commands: Kept[str] = Kept()
        self._methods: Kept[str] = Kept()
        self._active = workshop.gauge("bot_active_users")
        # With prefork, whoever is scraped answers for all, also when only others have seen users.
        self._active.answer = lambda window: self._users.count(WINDOWS[window])

    def command(self, command: str) -> Instrument:
        """Count, log and trace the handling of a command: a decorator or a `with` block.

        Use a fixed name, never what the user typed: it becomes a label.
        """
        self._show_users()
        return self._commands.get_or_make(command, lambda: self._make_command(command))

    def update(self, type: str) -> None:  # noqa: A002 - the label is called type, as Telegram calls it
        """Count an update, such as `message` or `callback_query`."""
        self._updates.labels(type).inc()

    def user_seen(self, user_id: object) -> None:
        """Note that a user is active. The id is hashed and stays in this process."""
        self._show_users()
        self._users.seen(user_id)

    def api_call(self, method: str) -> Instrument:
        """Count, log and trace a call to the Bot API, such as `sendMessage`."""
        return self._methods.get_or_make(method, lambda: self._make_api_call(method))

    def retry_after(self, seconds: float) -> None:
        """Add the seconds that the Bot API told us to wait (error 429)."""
        self._workshop.add(self._retry_after, seconds)

    def polling_lag(self, seconds: float) -> None:
        """Observe the age of an update at its arrival, in seconds; a clock that is behind counts as 0."""
        self._workshop.took(self._polling_lag, seconds)

    def error(self, command: str, error_type: str) -> None:
        """Count an error that was handled inside a command, by exception class."""
        self._errors.labels(command, error_type).inc()

    def _show_users(self) -> None:
        """Expose the users from the first sign of a bot on: a worker has none, and its 0 would look like an outage."""
        if not len(self._active):
            for window, seconds in WINDOWS.items():
                self._active.labels(window).set_function(partial(self._users.count, seconds))

    def _make_command(self, command: str) -> Instrument:
        started, seconds = self._started.labels(command), self._seconds.labels(command)
        self._in_progress.labels(command).set_difference(started, seconds)
        fields = {"command": command}
        return self._workshop.instrument(
            Description("bot.request_handled", f"bot.command {command}", "server", fields, bound=fields),
            self._seconds,
            command,
            requests=self._requests,
            errors=self._errors,
            started=started,
        )

    def _make_api_call(self, method: str) -> Instrument:
        return self._workshop.instrument(
            Description(
                "bot.api_called", f"bot.api {method}", "client", {"method": method}, ok_level="debug"
            ),
            self._api_seconds,
            method,
            requests=self._api_calls,
        )
