"""What the server answers: four paths, GET and HEAD."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from botmetry.server.authorization import Authorization
from botmetry.server.body import body_of
from botmetry.server.exposition import Exposition, Page, count_series
from botmetry.server.landing import landing_page
from botmetry.server.negotiation import Format, accepts_gzip, choose_format
from botmetry.server.readiness import Readiness
from botmetry.server.source import Source
from botmetry.settings import ServerSettings

__all__ = ["Routes"]

_Route = Callable[[web.BaseRequest], Awaitable[web.Response]]

# Prometheus scrapes every 15 s or so; a scrape that was turned away may come back at once.
_RETRY_AFTER_SECONDS = "1"
_SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


class Routes:
    """Answers requests from one telemetry object."""

    def __init__(
        self,
        source: Source,
        settings: ServerSettings,
        exposition: Exposition,
        readiness: Readiness,
    ) -> None:
        self._source = source
        self._settings = settings
        self._exposition = exposition
        self._readiness = readiness
        self._authorization = Authorization(settings)
        self._free = settings.max_concurrency
        self._routes: Mapping[str, _Route] = {
            "/": self._landing,
            "/healthz": self._health,
            "/metrics": self._metrics,
            "/readyz": self._ready,
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the response to `request`; a failure of ours is counted and answered 500."""
        response = self._refusal(request) or await self._answer(request)
        response.headers["Server"] = "botmetry"  # instead of the versions of Python and aiohttp
        return response

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        try:
            return await self._routes[request.path](request)
        except Exception as error:  # noqa: BLE001 -- a broken collector must show as a failed scrape
            self._source.internal_error(f"server{request.path}", error)
            return _text(500, "the metrics could not be rendered; the program's log says why")

    def _refusal(self, request: web.BaseRequest) -> web.Response | None:
        """Return the answer to a request that gets no further, None for the others."""
        # /healthz stays open: the platform that restarts a hung process holds no credentials.
        if request.path != "/healthz" and not self._authorization.allows(
            request.headers.get("Authorization", "")
        ):
            return _text(401, "credentials needed", {"WWW-Authenticate": self._authorization.challenge})
        if request.path not in self._routes:
            return _text(404, "nothing here; see /")
        if request.method not in {"GET", "HEAD"}:
            return _text(405, f"{request.method} is not possible here", {"Allow": "GET, HEAD"})
        if (request.content_length or 0) > self._settings.max_request_bytes:
            return _text(413, f"a body of at most {self._settings.max_request_bytes} bytes is read")
        return None

    async def _metrics(self, request: web.BaseRequest) -> web.Response:
        page = Page(
            format=choose_format(",".join(request.headers.getall("Accept", []))),
            names=frozenset(request.query.getall("name[]", [])),
            compressed=accepts_gzip(",".join(request.headers.getall("Accept-Encoding", []))),
        )
        headers = {"Content-Type": page.format.value, "Vary": "Accept, Accept-Encoding"}
        if page.compressed:
            headers["Content-Encoding"] = "gzip"
        return await self._limited(lambda: self._rendered(page, headers))

    async def _rendered(self, page: Page, headers: dict[str, str]) -> web.Response:
        return web.Response(body=body_of(await self._exposition.render(page)), headers=headers)

    async def _landing(self, _: web.BaseRequest) -> web.Response:
        return await self._limited(self._landing_page)

    async def _landing_page(self) -> web.Response:
        text = await self._exposition.render(Page(Format.TEXT, frozenset(), compressed=False))
        source = self._source
        page = landing_page(source.service, source.version, count_series(text), sorted(source.checks))
        return web.Response(text=page, content_type="text/html", headers=_SECURITY_HEADERS)

    async def _limited(self, work: Callable[[], Awaitable[web.Response]]) -> web.Response:
        """Do `work` unless as many requests as allowed are at it already."""
        if self._free == 0:
            return _text(503, "too many scrapes at once", {"Retry-After": _RETRY_AFTER_SECONDS})
        self._free -= 1
        try:
            return await work()
        finally:
            self._free += 1

    async def _ready(self, _: web.BaseRequest) -> web.Response:
        report = await self._readiness.report()
        return web.Response(
            text=json.dumps(report.as_json()) + "\n",
            status=200 if report.ready else 503,
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    async def _health(self, _: web.BaseRequest) -> web.Response:
        return _text(200, "ok", {"Cache-Control": "no-store"})


def _text(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=text + "\n", content_type="text/plain", headers=headers)
