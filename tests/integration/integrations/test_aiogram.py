"""aiogram observed: its real dispatcher, session and long polling against a server that speaks the Bot API."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager, suppress

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
)
from aiohttp import web

from botmetry import LogSettings, MissingExtraError, Telemetry
from botmetry.integrations import aiogram as integration

TOKEN = "123456789:AAE-not-a-real-token-0123456789abcdefg"
USER = 77001122
UPDATES = "bot_updates_total"
CALLS = "bot_api_calls_total"
CALL_SECONDS = "bot_api_call_duration_seconds_count"
LAG = "bot_polling_lag_seconds"


class BotApi:
    """A Bot API for one bot: hands out the updates it is given, and answers by what a message's text asks for."""

    def __init__(self) -> None:
        self.updates: list[dict[str, object]] = []
        self.calls: list[str] = []
        self._news = asyncio.Event()
        self.release = asyncio.Event()

    def say(self, text: str, *, user: int = USER, age: float = 0.0) -> None:
        """Let a user write a message, `age` seconds ago."""
        date = int(time.time() - age)
        person = {"id": user, "is_bot": False, "first_name": "Ada"}
        chat = {"id": user, "type": "private"}
        self.push({"message": {"message_id": 1, "date": date, "chat": chat, "from": person, "text": text}})

    def press(self, data: str, *, user: int = USER) -> None:
        """Let a user press a button under an old message."""
        person = {"id": user, "is_bot": False, "first_name": "Ada"}
        chat = {"id": user, "type": "private"}
        message = {"message_id": 1, "date": 1_600_000_000, "chat": chat}
        query = {"id": "9", "from": person, "chat_instance": "5", "data": data, "message": message}
        self.push({"callback_query": query})

    def push(self, update: dict[str, object]) -> None:
        """Hand out an update."""
        self.updates.append({"update_id": len(self.updates) + 1, **update})
        self._news.set()

    async def answer(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        self.calls.append(method)
        form = await request.post()
        if method == "getMe":
            return _ok({"id": 123456789, "is_bot": True, "first_name": "Shop", "username": "shop_bot"})
        if method == "getUpdates":
            return _ok(await self._poll(int(form.get("offset", 0))))
        if method == "sendMessage":
            return await self._send(str(form["text"]))
        return _ok(True)

    async def _poll(self, offset: int) -> list[dict[str, object]]:
        while not (waiting := [update for update in self.updates if update["update_id"] >= offset]):
            self._news.clear()
            await self._news.wait()
        return waiting

    async def _send(self, text: str) -> web.Response:
        if text == "too fast":
            return _no(429, "Too Many Requests: retry after 7", {"retry_after": 7})
        if text == "blocked":
            return _no(403, "Forbidden: bot was blocked by the user")
        if text == "garbled":
            return web.json_response({"ok": True, "result": {"text": "what-people-wrote"}})
        if text == "hang":
            await self.release.wait()
        return _ok({"message_id": 2, "date": 1_700_000_000, "chat": {"id": 1, "type": "private"}})


def _ok(result: object) -> web.Response:
    return web.json_response({"ok": True, "result": result})


def _no(status: int, description: str, parameters: dict[str, int] | None = None) -> web.Response:
    body = {"ok": False, "error_code": status, "description": description}
    return web.json_response({**body, "parameters": parameters} if parameters else body, status=status)


@pytest.fixture(name="api")
async def _api():
    api = BotApi()
    app = web.Application()
    app.router.add_post("/bot{token}/{method}", api.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{site.port}"
    yield api
    api.release.set()
    await runner.cleanup()


@pytest.fixture(name="bot")
async def _bot(api):
    session = AiohttpSession(api=TelegramAPIServer.from_base(api.url))
    bot = Bot(TOKEN, session=session)
    yield bot
    await bot.session.close()


class Shop:
    """A bot with its dispatcher, and the people who write to it."""

    def __init__(self, bot: Bot, api: BotApi) -> None:
        self.bot = bot
        self.api = api
        self.dispatcher = Dispatcher()

    @asynccontextmanager
    async def open(self):
        """Run the dispatcher's own long polling while a block runs."""
        polling = self.dispatcher.start_polling(self.bot, handle_signals=False, close_bot_session=False)
        running = asyncio.create_task(polling)
        try:
            yield self.api
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


@pytest.fixture(name="shop")
def _shop(bot, api):
    return Shop(bot, api)


class TestUpdates:
    @pytest.fixture(autouse=True, name="undo")
    def _observed(self, shop, telemetry):
        return integration.instrument(shop.dispatcher, telemetry)

    async def test_updates_are_counted_by_type(self, shop, seen, eventually):
        """Each update counts under its type, handled or not, and its user counts as active once."""
        shop.dispatcher.message.register(_nothing)
        async with shop.open() as api:
            api.say("hello")
            api.say("hello again")
            api.press("yes")
            api.push({"unheard_of": {"what": 1}})
            with pytest.warns(RuntimeWarning, match="unknown update type"):
                await eventually(lambda: sum(seen.nonzero(UPDATES).values()) == 4)

        assert seen.nonzero(UPDATES) == {("message",): 2, ("callback_query",): 1, ("unknown",): 1}
        assert seen.value("bot_active_users", window="5m") == 1

    async def test_everything_inside_carries_user_and_trace(self, shop, telemetry, log_lines, eventually):
        """What a handler logs has the user's id and a trace id; another update has another trace."""

        async def handler(message):
            telemetry.log.info("shop.asked", text_length=len(message.text))
            await asyncio.sleep(0)
            telemetry.log.info("shop.answered")

        handled = []
        shop.dispatcher.message.register(handler)
        shop.dispatcher.update.outer_middleware.register(_counting(handled))
        async with shop.open() as api:
            api.say("one", user=USER)
            api.say("three", user=USER + 1)
            await eventually(lambda: len(handled) == 2)

        asked, answered = log_lines("shop.asked"), log_lines("shop.answered")
        assert {line["user_id"] for line in asked} == {USER, USER + 1}
        traces = {line["user_id"]: line["trace_id"] for line in asked}
        assert len(set(traces.values())) == 2
        assert {line["user_id"]: line["trace_id"] for line in answered} == traces

    async def test_an_error_handler_is_inside(self, shop, telemetry, log_lines, eventually):
        """What aiogram's error handlers log belongs to the update that failed."""
        failed = []

        async def handler(_):
            telemetry.log.info("shop.tried")
            raise ValueError("no such article")

        async def on_error(event):
            telemetry.log.warning("shop.failed")
            failed.append(event)

        shop.dispatcher.message.register(handler)
        shop.dispatcher.errors.register(on_error)
        async with shop.open() as api:
            api.say("buy")
            await eventually(lambda: failed)

        (tried,), (reported,) = log_lines("shop.tried"), log_lines("shop.failed")
        assert reported["user_id"] == USER
        assert reported["trace_id"] == tried["trace_id"]

    async def test_a_command_is_a_part_of_its_update(self, shop, telemetry, seen, log_lines, eventually):
        """A handler measured with `telemetry.bot.command` gets aiogram's arguments and shares the update's trace."""
        integration.instrument(shop.bot, telemetry)

        @shop.dispatcher.message(F.text == "/balance")
        @telemetry.bot.command("balance")
        async def balance(message, bot: Bot, event_from_user):
            await bot.send_message(event_from_user.id, f"{message.text}: 42 EUR")

        async with shop.open() as api:
            api.say("/balance")
            await eventually(lambda: seen.value("bot_requests_total", command="balance", outcome="ok"))

        (request,) = log_lines("bot.request_handled")
        (call,) = [line for line in log_lines("bot.api_called") if line["method"] == "sendMessage"]
        assert request["user_id"] == call["user_id"] == USER
        assert request["trace_id"] == call["trace_id"]

    async def test_the_age_of_messages_is_observed(self, shop, seen, eventually):
        """A message that waited a minute is observed with a minute; a pressed button has no age."""
        async with shop.open() as api:
            api.say("late", age=60)
            api.press("yes")
            await eventually(lambda: sum(seen.nonzero(UPDATES).values()) == 2)

        assert seen.value(LAG + "_count") == 1
        assert 60 <= seen.value(LAG + "_sum") < 75

    async def test_ids_are_no_labels(self, shop, seen, eventually):
        """The exposition contains no user id."""
        async with shop.open() as api:
            api.say("hello")
            await eventually(lambda: seen.nonzero(UPDATES))

        assert str(USER) not in seen.text()

    async def test_a_broken_telemetry_does_not_reach_the_handler(
        self, shop, telemetry, seen, monkeypatch, eventually
    ):
        """When the telemetry itself fails, updates are handled, and the failure is counted."""

        def broken(kind):
            raise RuntimeError("telemetry is broken")

        monkeypatch.setattr(telemetry.bot, "update", broken)
        handled = []
        shop.dispatcher.message.register(handled.append)
        async with shop.open() as api:
            api.say("hello")
            await eventually(lambda: handled)

        assert seen.value("telemetry_errors_total", component="integrations.aiogram") == 1

    async def test_it_comes_first_and_can_be_taken_back(self, shop, undo, telemetry, seen, eventually):
        """Our middleware precedes aiogram's, keeps their order, and the undo leaves what was there before."""
        present, untouched = list(shop.dispatcher.update.outer_middleware), Dispatcher()
        integration.instrument(shop.dispatcher, telemetry)
        assert list(shop.dispatcher.update.outer_middleware) == present
        expected = [type(middleware) for middleware in untouched.update.outer_middleware]
        assert [type(middleware) for middleware in present[1:]] == expected
        undo()
        undo()
        assert list(shop.dispatcher.update.outer_middleware) == present[1:]
        handled = []
        shop.dispatcher.message.register(handled.append)
        async with shop.open() as api:
            api.say("hello")
            await eventually(lambda: handled)

        assert seen.nonzero(UPDATES) == {}


class TestCalls:
    @pytest.fixture(autouse=True)
    def _observed(self, bot, telemetry):
        integration.instrument(bot, telemetry)

    async def test_calls_are_counted_and_timed(self, bot, seen):
        """A call counts under its method with its outcome and its duration."""
        await bot.get_me()
        await bot.send_message(USER, "hello")

        assert seen.nonzero(CALLS) == {("getMe", "ok"): 1, ("sendMessage", "ok"): 1}
        assert seen.value(CALL_SECONDS, method="sendMessage") == 1

    async def test_a_rate_limit_is_counted_with_its_seconds(self, bot, seen):
        """Error 429 adds the seconds to wait, besides counting as an error."""
        with pytest.raises(TelegramRetryAfter):
            await bot.send_message(USER, "too fast")

        assert seen.value("bot_api_retry_after_seconds_total") == 7
        assert seen.nonzero(CALLS) == {("sendMessage", "error"): 1}

    async def test_a_refusal_is_an_error(self, bot, seen):
        """A call that Telegram refuses counts as an error."""
        with pytest.raises(TelegramForbiddenError):
            await bot.send_message(USER, "blocked")

        assert seen.nonzero(CALLS) == {("sendMessage", "error"): 1}

    async def test_no_answer_in_time_is_a_timeout(self, bot, seen):
        """A call that gets no answer in time has the outcome timeout."""
        with pytest.raises(TelegramNetworkError):
            await bot.send_message(USER, "hang", request_timeout=0.05)

        assert seen.nonzero(CALLS) == {("sendMessage", "timeout"): 1}

    async def test_long_polling_is_counted_and_not_timed(self, shop, seen, eventually):
        """Asking for updates has an outcome and no duration: it takes as long as nobody writes."""
        async with shop.open() as api:
            api.say("hello")
            await eventually(lambda: api.calls.count("getUpdates") >= 2)

        assert seen.value(CALLS, method="getUpdates", outcome="ok") >= 1
        assert seen.value(CALL_SECONDS, method="getUpdates") is None

    async def test_the_token_is_in_no_log_line(self, bot, api, log_lines):
        """Neither a call that works nor one that fails writes the bot's token."""
        await bot.get_me()
        for text in ("too fast", "hang"):
            with pytest.raises(TelegramAPIError):
                await bot.send_message(USER, text, request_timeout=0.05)

        lines = log_lines()
        assert lines
        assert TOKEN.partition(":")[2] not in repr(lines)

    async def test_an_answer_that_cannot_be_read_is_not_quoted(self, bot, seen, log_lines):
        """The error for an unreadable answer quotes it; the log names the error only."""
        with pytest.raises(ClientDecodeError, match="what-people-wrote"):
            await bot.send_message(USER, "garbled")

        assert seen.nonzero(CALLS) == {("sendMessage", "error"): 1}
        assert "what-people-wrote" not in repr(log_lines())

    async def test_it_can_be_taken_back(self, bot, telemetry, seen):
        """After the undo nothing is counted; observing twice is observing once."""
        undo = integration.instrument(bot, telemetry)
        await bot.get_me()
        assert seen.nonzero(CALLS) == {("getMe", "ok"): 1}
        undo()
        undo()
        await bot.get_me()

        assert seen.nonzero(CALLS) == {("getMe", "ok"): 1}

    async def test_two_telemetries_do_not_disturb_each_other(self, bot, telemetry, seen):
        """A second telemetry object gets a middleware of its own."""
        other = Telemetry("other-bot", log=LogSettings(output="none"))
        undo = integration.instrument(bot, other)
        await bot.get_me()
        undo()
        await bot.get_me()

        assert seen.nonzero(CALLS) == {("getMe", "ok"): 2}
        assert b'bot_api_calls_total{method="getMe",outcome="ok"} 1' in other.render()


def test_a_wrong_target_is_refused(telemetry):
    """Anything but a dispatcher or a bot is an error that says what was given."""
    with pytest.raises(TypeError, match="object"):
        integration.instrument(object(), telemetry)


def test_a_missing_library_is_named(telemetry, monkeypatch):
    """Without aiogram the error is the command that installs it."""
    monkeypatch.setitem(sys.modules, "aiogram", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'botmetry\[aiogram\]'"):
        integration.instrument(object(), telemetry)


async def _nothing(_):
    """Handle a message."""


def _counting(handled):
    async def middleware(handler, event, data):
        try:
            return await handler(event, data)
        finally:
            handled.append(event)

    return middleware
