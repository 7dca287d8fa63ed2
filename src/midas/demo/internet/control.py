"""The control panel of the demonstration: switch a fault, read what the people experienced. Loopback only."""

import ipaddress
import json
from typing import Any

from aiohttp import web

from midas.demo.internet.answers import AnswerBook
from midas.demo.internet.exchange import Exchange
from midas.demo.internet.faults import Faults, UnknownFaultError
from midas.demo.internet.model import ModelServer
from midas.demo.internet.population import Population


class Control:
    """`POST /control/fault` and `GET /control/stats`."""

    def __init__(
        self,
        exchange: Exchange,
        book: AnswerBook,
        faults: Faults,
        model: ModelServer,
        population: Population | None,
    ) -> None:
        """Look at the parts that are controlled."""
        self._exchange = exchange
        self._book = book
        self._faults = faults
        self._model = model
        self._population = population

    def add_routes(self, app: web.Application) -> None:
        """Add the two endpoints."""
        app.router.add_post("/control/fault", self._fault)
        app.router.add_get("/control/stats", self._stats)

    async def _fault(self, request: web.Request) -> web.Response:
        _refuse_strangers(request)
        try:
            body = json.loads(await request.read())
            name, on = body["name"], {True: True, False: False}[body["on"]]
            self._faults.switch(name, on=on)
        except UnknownFaultError as error:
            return web.json_response({"error": str(error)}, status=400)
        except (ValueError, KeyError, TypeError):
            return web.json_response({"error": 'expected {"name": "slow-ai", "on": true}'}, status=400)
        return web.json_response({"faults": self._faults.active})

    async def _stats(self, request: web.Request) -> web.Response:
        _refuse_strangers(request)
        return web.json_response(self.stats())

    def stats(self) -> dict[str, Any]:
        """Return what the people experienced: answer latencies in seconds, counts, and who is there."""
        population = self._population
        return {
            **self._book.summary(),
            "users": population.users if population else 0,
            "visiting": population.visiting if population else 0,
            "visits": population.visits_begun if population else 0,
            "updates_waiting": len(self._exchange.mailbox),
            "faults": self._faults.active,
            "model": self._model.stats(),
        }


def _refuse_strangers(request: web.Request) -> None:
    if not request.remote or not ipaddress.ip_address(request.remote).is_loopback:
        raise web.HTTPForbidden(text="the control panel answers on this machine only")
