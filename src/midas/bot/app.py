"""The bot as a process: opens what it needs in order, polls until it is told to stop, and closes everything again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from aiogram import Dispatcher
from aiogram.exceptions import TelegramAPIError
from aiogram.types import BotCommand

from botmetry import Telemetry
from botmetry.integrations import aiogram as observed_aiogram
from botmetry.logs.stdlib import install as install_stdlib
from midas.bot.apologies import apologise
from midas.bot.backends import open_services
from midas.bot.commands import COMMANDS
from midas.bot.in_flight import InFlight
from midas.bot.routers import (
    greetings_router,
    money_router,
    others_router,
    outside_router,
    questions_router,
    statements_router,
    transfers_router,
)
from midas.bot.telegram import PATIENCE, POLLING_SECONDS, Polling, introduce, open_bot
from midas.redis.cancellation import end
from midas.signals import stopped_by_signals

if TYPE_CHECKING:
    from aiogram import Bot

    from midas.bot.services import Services
    from midas.settings import Settings

MOST_UPDATES: Final = 100
"""Handled at once; each takes milliseconds, so a hundred is a flood, and the rest waits at Telegram."""
_CHATTERING: Final = ("aiogram.event", "ofxtools")
"""They write a line for each update and several for each statement."""


async def run_bot(
    settings: Settings, ready: asyncio.Event | None = None, stop: asyncio.Event | None = None
) -> None:
    """Run the bot until `stop` is set or the process gets SIGTERM or SIGINT; handlers under way are finished.

    Args:
        settings: Where PostgreSQL, Redis and Telegram are, and the token.
        ready: Is set once the bot gets updates.
        stop: Ends the bot when it is set.

    Raises:
        SettingsError: A setting is missing, or Telegram refuses the token.
        StoreUnavailable: PostgreSQL does not answer.
        QueueUnavailable: Redis does not answer.
        OSError: The port of the metrics is taken.
    """
    ready, stop = ready or asyncio.Event(), stop or asyncio.Event()
    telemetry = Telemetry(service="midas-bot", log=settings.log)
    try:
        with stopped_by_signals(stop, stop.set), _logged(telemetry):
            async with AsyncExitStack() as stack:
                polling = Polling()
                bot = await stack.enter_async_context(open_bot(settings, polling))
                observed_aiogram.instrument(bot, telemetry)
                # Before the server: whoever asks early is told that we are not ready.
                telemetry.add_check("telegram", polling.check)
                server = await stack.enter_async_context(telemetry.serve(port=settings.bot_metrics_port))
                services = await stack.enter_async_context(open_services(settings, telemetry, bot))
                telemetry.log.info("bot.started", metrics=server.url)
                if await _first_done(_arrive(bot, settings, telemetry), stop):
                    services.deliveries.resume()
                    services.notices.start()
                    await _poll(bot, _dispatcher(telemetry, services), ready, stop)
                telemetry.log.info("bot.stopped")
    finally:
        telemetry.close()


async def _arrive(bot: Bot, settings: Settings, telemetry: Telemetry) -> None:
    """Say hello to Telegram and put our commands into its menu, which is nice and not necessary."""
    await introduce(bot, settings, telemetry)
    menu = [BotCommand(command=command.name, description=command.menu) for command in COMMANDS]
    try:
        await bot.set_my_commands(menu)
    except TelegramAPIError as error:
        telemetry.log.warning("bot.menu_refused", reason=str(error))


def _dispatcher(telemetry: Telemetry, services: Services) -> Dispatcher:
    dispatcher = Dispatcher(disable_fsm=True, telemetry=telemetry, services=services)
    topics = (
        outside_router,  # first: what is said in a group is nobody else's business
        greetings_router,
        money_router,
        transfers_router,
        statements_router,
        questions_router,
        others_router,  # last: it takes everything
    )
    dispatcher.include_routers(*(make(telemetry) for make in topics))
    dispatcher.errors.register(apologise)
    return dispatcher


async def _poll(bot: Bot, dispatcher: Dispatcher, ready: asyncio.Event, stop: asyncio.Event) -> None:
    """Get and handle updates until `stop` is set; then let the handlers finish."""
    in_flight = InFlight()
    dispatcher.update.outer_middleware(in_flight)
    observed_aiogram.instrument(dispatcher, dispatcher["telemetry"])
    running = asyncio.create_task(
        dispatcher.start_polling(
            bot,
            polling_timeout=POLLING_SECONDS,
            backoff_config=PATIENCE,
            handle_signals=False,
            close_bot_session=False,
            tasks_concurrency_limit=MOST_UPDATES,
        ),
        name="polling",
    )
    ready.set()
    try:
        await _first_done(_shielded(running), stop)
    finally:
        if not running.done():
            await dispatcher.stop_polling()
        await in_flight.drain(bot)
    await running


async def _first_done(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Run `work` until it ends or `stop` is set; return whether it came to its end, raise what it raised."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finished = working.done()
    finally:
        await end(working, stopping)
    if not working.cancelled():
        working.result()
    return finished


async def _shielded(task: asyncio.Task[None]) -> None:
    await asyncio.shield(task)


@contextmanager
def _logged(telemetry: Telemetry) -> Iterator[None]:
    """Have the lines of aiogram and other libraries written into our log, except those that repeat our own events."""
    undo = install_stdlib(telemetry.log)
    before = {name: logging.getLogger(name).level for name in _CHATTERING}
    for name in _CHATTERING:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
        undo()
