"""Who may read the metrics: holders of the bearer token, or of the user name and password.

Credentials are compared in constant time, so that the time of an answer says nothing about how much of a
guess was right.
"""

from __future__ import annotations

import base64
import hmac

from botmetry.settings import ServerSettings

__all__ = ["Authorization"]


class Authorization:
    """Compares the `Authorization` header of a request with the configured credentials."""

    def __init__(self, settings: ServerSettings) -> None:
        self._expected: bytes | None = None
        self.challenge = ""
        """The value of `WWW-Authenticate` for who is turned away."""
        if settings.bearer_token is not None:
            self._expected = settings.bearer_token.encode()
            self.challenge = 'Bearer realm="metrics"'
        elif settings.basic_auth is not None:
            self._expected = base64.b64encode(":".join(settings.basic_auth).encode())
            self.challenge = 'Basic realm="metrics", charset="UTF-8"'

    def allows(self, header: str) -> bool:
        """Return whether a request with this `Authorization` header may pass; always, when none is configured."""
        if self._expected is None:
            return True
        scheme, _, credentials = header.partition(" ")
        wanted = self.challenge.partition(" ")[0]
        given = credentials.strip().encode(errors="surrogateescape")
        return hmac.compare_digest(given, self._expected) and scheme.lower() == wanted.lower()
