"""The local internet as one server: messenger, language model and control panel, with the people in it."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aiohttp import web

from midas.demo.internet.accounts import Account
from midas.demo.internet.answers import AnswerBook
from midas.demo.internet.control import Control
from midas.demo.internet.exchange import Exchange
from midas.demo.internet.faults import Faults
from midas.demo.internet.flood import FloodControl, FloodLimits
from midas.demo.internet.model import ModelServer
from midas.demo.internet.population import Population
from midas.demo.internet.telegram import TelegramServer

HOST = "127.0.0.1"
LARGEST_BODY = 50 * 2**20  # bytes; what the Bot API accepts as an upload
MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class InternetOptions:
    """What can be chosen.

    Raises:
        ValueError: A value is impossible; the message names it.
    """

    token: str = field(repr=False)
    """The bot's token; any other is answered 401."""
    port: int = 0
    """TCP port on the loopback; 0 takes a free one."""
    seed: int = 1
    """The same seed gives the same people with the same habits."""
    users: int = 150
    """Regulars at the start; 0 means that nobody ever comes by themselves."""
    speed: float = 1.0
    """How many of the people's seconds pass in one of the clock."""
    api_key: str = field(default="", repr=False)
    """The language model's key; empty accepts any that is not empty."""
    flood: FloodLimits = field(default_factory=FloodLimits)
    """How fast the bot may send before it is told to wait."""

    def __post_init__(self) -> None:
        bot_id, separator, secret = self.token.partition(":")
        if not (bot_id.isdigit() and separator and secret):
            raise ValueError("the token must look like 123456:letters-and-digits")
        if not 0 <= self.port <= MAX_PORT:
            raise ValueError(f"the port must be between 0 and {MAX_PORT}, not {self.port}")
        if self.users < 0:
            raise ValueError(f"the number of users must not be negative, and {self.users} is")
        if not self.speed > 0:
            raise ValueError(f"the speed must be above 0, not {self.speed:g}")


class Internet:
    """A running local internet."""

    def __init__(self, options: InternetOptions) -> None:
        """Put the parts together; nothing listens yet."""
        self.faults = Faults()
        self.book = AnswerBook()
        self.exchange = Exchange(_bot_user(options.token), self.book)
        self.model = ModelServer(self.faults, _luck(options, "model"), options.api_key)
        self.population: Population | None = None
        if options.users:
            self.population = Population(
                self.exchange, self.faults, options.seed, users=options.users, speed=options.speed
            )
        self.control = Control(self.exchange, self.book, self.faults, self.model, self.population)
        self.telegram = TelegramServer(
            self.exchange,
            options.token,
            self.faults,
            FloodControl(options.flood.faster(options.speed)),
            _luck(options, "telegram"),
        )
        self.port = 0
        self.faults.listen(self.book.start_period)

    @property
    def url(self) -> str:
        """The address of everything, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    def account(self, user_id: int, first_name: str = "Ada") -> Account:
        """Return the telephone of somebody who is played from outside."""
        return Account(self.exchange, user_id, first_name)

    def application(self) -> web.Application:
        """Return the server's routes."""
        app = web.Application(client_max_size=LARGEST_BODY)
        self.telegram.add_routes(app)
        self.model.add_routes(app)
        self.control.add_routes(app)
        return app


@asynccontextmanager
async def serve_internet(options: InternetOptions) -> AsyncIterator[Internet]:
    """Listen, let the people come, and end both on leaving.

    Raises:
        OSError: The port is taken; raised before anything else happens.
    """
    internet = Internet(options)
    listener = _listen(options.port)
    internet.port = listener.getsockname()[1]
    # A poll whose bot has died must end with its connection: otherwise updates would be "delivered" to nobody.
    runner = web.AppRunner(
        internet.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5
    )
    people: asyncio.Task[None] | None = None
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        if internet.population is not None:
            people = asyncio.create_task(internet.population.run(), name="population")
        yield internet
    finally:
        if people is not None:
            people.cancel()
            with suppress(asyncio.CancelledError):
                await people
        await runner.cleanup()
        listener.close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    return listener


def _luck(options: InternetOptions, part: str) -> random.Random:
    return random.Random(f"{options.seed}/{part}")  # noqa: S311 - it decides what happens in a play


def _bot_user(token: str) -> dict[str, object]:
    return {
        "id": int(token.partition(":")[0]),
        "is_bot": True,
        "first_name": "Midas",
        "username": "midas_money_bot",
        "can_join_groups": False,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
    }
