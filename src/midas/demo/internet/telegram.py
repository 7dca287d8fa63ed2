"""The Bot API over HTTP: tokens, bodies, errors and downloads; what the methods do is in `methods`."""

import random
import re
from http import HTTPStatus

from aiohttp import web

from midas.demo.internet.bodies import Parameters, read_parameters
from midas.demo.internet.exchange import Exchange
from midas.demo.internet.faults import Faults
from midas.demo.internet.flood import FloodControl
from midas.demo.internet.methods import METHODS, Method
from midas.demo.internet.refusals import RefusalError, not_found, too_many_requests, unauthorized

BOT_ERROR_SHARE = 0.8
"""Of the calls that send something under `bot-errors`. A bot that tries three times still loses half of its answers
(0.8 cubed); at the quietest hour of the demo, with half an answer a second, that is more than 0.1 errors a second."""

_TOKEN = re.compile(r"\d+:[\w-]+")
_SENDING = frozenset({"sendmessage", "senddocument"})


class TelegramServer:
    """Answers like the Bot API for the one bot that has the token."""

    def __init__(
        self, exchange: Exchange, token: str, faults: Faults, flood: FloodControl, luck: random.Random
    ) -> None:
        """Prepare the routes.

        Args:
            exchange: The messenger's state.
            token: The bot's token; any other is refused.
            faults: Which calls are to fail.
            flood: How fast the bot may send.
            luck: Decides which calls fail under `bot-errors`.
        """
        self._exchange = exchange
        self._token = token
        self._faults = faults
        self._flood = flood
        self._luck = luck

    def add_routes(self, app: web.Application) -> None:
        """Add `/bot<token>/<method>` and `/file/bot<token>/<path>`."""
        app.router.add_route("*", "/bot{token:[^/]+}/{method}", self._call)
        app.router.add_get("/file/bot{token:[^/]+}/{path:.+}", self._download)

    async def _call(self, request: web.Request) -> web.Response:
        try:
            self._check_token(request.match_info["token"])
            name = request.match_info["method"].lower()
            method = METHODS.get(name)
            if method is None:
                raise not_found()
            parameters = await read_parameters(request)
            result = await self._perform(name, method, parameters)
        except RefusalError as refusal:
            self._exchange.book.refused()
            return web.json_response(refusal.body(), status=refusal.status)
        return web.json_response({"ok": True, "result": result})

    async def _perform(self, name: str, method: Method, parameters: Parameters) -> object:
        failure = self._faults.take_failure(name)
        if failure is not None:
            raise RefusalError(failure.status, failure.description, failure.retry_after)
        if name in _SENDING:
            if "bot-errors" in self._faults and self._luck.random() < BOT_ERROR_SHARE:
                raise RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")
            wait = self._flood.wait_seconds(parameters.integer("chat_id"))
            if wait:
                raise too_many_requests(wait)
        return await method(self._exchange, parameters)

    async def _download(self, request: web.Request) -> web.Response:
        try:
            self._check_token(request.match_info["token"])
            stored = self._exchange.file_at(request.match_info["path"])
            if stored is None:
                raise not_found()
        except RefusalError as refusal:
            return web.json_response(refusal.body(), status=refusal.status)
        return web.Response(body=stored.data, content_type="application/octet-stream")

    def _check_token(self, token: str) -> None:
        if _TOKEN.fullmatch(token) is None:
            raise not_found()
        if token != self._token:
            raise unauthorized()
