"""The errors of the Bot API, in its own words."""

from typing import Any


class RefusalError(Exception):
    """A call that the Bot API answers with `"ok": false`."""

    def __init__(self, status: int, description: str, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """Return the answer as Telegram writes it."""
        body: dict[str, Any] = {"ok": False, "error_code": self.status, "description": self.description}
        if self.retry_after is not None:
            body["parameters"] = {"retry_after": self.retry_after}
        return body


def bad_request(reason: str) -> RefusalError:
    """Return the 400 that names `reason`."""
    return RefusalError(400, f"Bad Request: {reason}")


def unauthorized() -> RefusalError:
    """Return the 401 for a token that belongs to no bot."""
    return RefusalError(401, "Unauthorized")


def not_found() -> RefusalError:
    """Return the 404 for a malformed token or an unknown method."""
    return RefusalError(404, "Not Found")


def blocked() -> RefusalError:
    """Return the 403 for a person who blocked the bot."""
    return RefusalError(403, "Forbidden: bot was blocked by the user")


def conflict() -> RefusalError:
    """Return the 409 for the older of two pollers."""
    reason = "terminated by other getUpdates request; make sure that only one bot instance is running"
    return RefusalError(409, f"Conflict: {reason}")


def too_many_requests(retry_after: int) -> RefusalError:
    """Return the 429 that asks for `retry_after` seconds of silence."""
    return RefusalError(429, f"Too Many Requests: retry after {retry_after}", retry_after)
