"""The local internet speaks the real protocols: unmodified clients work with it and meet the errors they know."""

import json
import logging
import socket

import aiohttp
import openai
import pytest
from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.types import BotCommand, BufferedInputFile, InlineKeyboardButton, InlineKeyboardMarkup

from midas.demo.internet import Failure, FloodLimits, InternetOptions, serve_internet
from midas.demo.internet.__main__ import main
from midas.demo.internet.telegram import BOT_ERROR_SHARE

TOKEN = "123456:abcdefghijklmnopqrstuvwxyz"
CATEGORIES = "Choose one of: Groceries, Restaurants, Transport, Health, Other."


@pytest.fixture
async def internet():
    async with serve_internet(InternetOptions(token=TOKEN, users=0, api_key="sk-right")) as running:
        yield running


def _bot(internet, token=TOKEN):
    session = AiohttpSession(api=TelegramAPIServer.from_base(internet.url))
    return Bot(token, session=session, default=DefaultBotProperties(parse_mode="HTML"))


@pytest.fixture
async def bot(internet):
    async with _bot(internet) as client:
        yield client


def _model(internet, key="sk-right"):
    return openai.AsyncOpenAI(base_url=f"{internet.url}/v1", api_key=key, max_retries=0)


async def _ask(model, description):
    messages = [
        {"role": "system", "content": CATEGORIES},
        {"role": "user", "content": f"Description: {description}"},
    ]
    return await model.chat.completions.create(model="deepseek-chat", messages=messages, logprobs=True)


async def test_aiogram_sends_edits_and_answers(internet, bot):
    """Text with markup and buttons reaches the person; a pressed button comes back; the message changes in place."""
    person = internet.account(7)
    person.write("/start")
    (update,) = await bot.get_updates()
    assert update.message.text == "/start"
    assert update.message.from_user.id == update.message.chat.id == 7
    keyboard = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="Yes", callback_data="y")]])
    sent = await bot.send_message(7, "<b>H&amp;M</b>?", reply_markup=keyboard)
    seen = await person.look(60)
    assert (seen.kind, seen.text, seen.buttons) == ("message", "H&M?", [("Yes", "y")])
    person.press(seen, "y")
    (update,) = await bot.get_updates(offset=update.update_id + 1)
    assert update.callback_query.data == "y"
    assert update.callback_query.message.message_id == sent.message_id
    await bot.answer_callback_query(update.callback_query.id, "Done")
    assert (await person.look(60)).text == "Done"
    await bot.edit_message_text("Filed.", chat_id=7, message_id=sent.message_id)
    seen = await person.look(60)
    assert (seen.kind, seen.text, seen.buttons) == ("edit", "Filed.", [])


async def test_documents_travel_both_ways(internet, bot):
    """The bot downloads exactly the bytes that a person sent, and a person sees a document of the bot."""
    person = internet.account(7)
    data = bytes(range(256)) * 50
    person.send_document("statement.csv", data)
    (update,) = await bot.get_updates()
    assert (update.message.document.file_name, update.message.document.file_size) == (
        "statement.csv",
        len(data),
    )
    assert (await bot.download(update.message.document)).read() == data
    await bot.send_document(7, BufferedInputFile(b"abc", "report.txt"), caption="Here")
    seen = await person.look(60)
    assert (seen.text, seen.message["document"]["file_name"]) == ("Here", "report.txt")


async def test_calls_without_effect_are_accepted(bot):
    """What bots do at their start (menu, webhook off, typing) is answered as Telegram answers it."""
    assert (await bot.me()).username == "midas_money_bot"
    assert await bot.set_my_commands([BotCommand(command="start", description="say hello")])
    assert await bot.delete_webhook()
    assert await bot.send_chat_action(7, "typing")
    assert (await bot.get_webhook_info()).url == ""


async def test_errors_have_telegrams_words(internet, bot):
    """Wrong chats, texts, buttons, edits and callbacks are refused with the descriptions that bots match on."""
    person = internet.account(7)
    person.write("hi")
    sent = await bot.send_message(7, "once")
    long_data = InlineKeyboardMarkup(
        inline_keyboard=[[InlineKeyboardButton(text="x", callback_data="y" * 65)]]
    )
    for words, call in {
        "chat not found": bot.send_message(8, "x"),
        "message is not modified": bot.edit_message_text("once", chat_id=7, message_id=sent.message_id),
        "message to edit not found": bot.edit_message_text("x", chat_id=7, message_id=999),
        "message can't be edited": bot.edit_message_text("x", chat_id=7, message_id=1),
        "message text is empty": bot.send_message(7, "<b> </b>"),
        "message is too long": bot.send_message(7, "x" * 4097),
        "can't parse entities": bot.send_message(7, "<b>"),
        "BUTTON_DATA_INVALID": bot.send_message(7, "x", reply_markup=long_data),
        "query is too old": bot.answer_callback_query("1"),
        "invalid file_id": bot.get_file("nothing"),
    }.items():
        with pytest.raises(TelegramBadRequest, match=words):
            await call
    person.chat.blocked = True
    with pytest.raises(TelegramForbiddenError, match="blocked by the user"):
        await bot.send_message(7, "x")


async def test_a_wrong_token_is_refused(internet):
    """A token of another bot is 401, something that is no token 404, for calls and downloads alike."""
    async with _bot(internet, "123456:wrong") as stranger:
        with pytest.raises(TelegramUnauthorizedError):
            await stranger.get_me()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{internet.url}/botnonsense/getMe") as response:
            assert (response.status, (await response.json())["description"]) == (404, "Not Found")
        async with session.get(f"{internet.url}/file/bot123456:wrong/documents/file_1") as response:
            assert response.status == 401
        async with session.get(f"{internet.url}/bot{TOKEN}/inventSomething") as response:
            assert (response.status, (await response.json())["error_code"]) == (404, 404)


async def test_json_bodies_and_queries_work_as_forms_do(internet):
    """A client that sends JSON, or parameters in the address, gets the same answers as one that sends forms."""
    internet.account(7).write("hi")
    async with aiohttp.ClientSession() as session:
        body = {
            "chat_id": 7,
            "text": "x",
            "reply_markup": {"inline_keyboard": [[{"text": "a", "callback_data": "b"}]]},
        }
        async with session.post(f"{internet.url}/bot{TOKEN}/sendMessage", json=body) as response:
            assert (await response.json())["result"]["reply_markup"] == body["reply_markup"]
        async with session.get(f"{internet.url}/bot{TOKEN}/getUpdates", params={"limit": "1"}) as response:
            assert len((await response.json())["result"]) == 1
        async with session.post(
            f"{internet.url}/bot{TOKEN}/sendMessage", data=b"{", headers={"Content-Type": "application/json"}
        ) as response:
            assert response.status == 400


async def test_a_flood_is_stopped_with_the_time_to_wait(bot):
    """Too many messages to one chat are 429 with retry_after, which aiogram understands."""
    options = InternetOptions(token=TOKEN, users=0, flood=FloodLimits(chat_rate=0.01, chat_burst=2))
    async with serve_internet(options) as internet, _bot(internet) as client:
        internet.account(7).write("hi")
        await client.send_message(7, "1")
        await client.send_message(7, "2")
        with pytest.raises(TelegramRetryAfter) as caught:
            await client.send_message(7, "3")
        assert 40 < caught.value.retry_after <= 100


async def test_bot_errors_break_the_stated_share_of_messages():
    """Under the fault the stated share of sendMessage calls is 500, and everything else works."""
    options = InternetOptions(token=TOKEN, users=0, flood=FloodLimits().faster(100))
    async with serve_internet(options) as internet, _bot(internet) as bot:
        for user in range(200):
            internet.account(1000 + user)
        internet.faults.switch("bot-errors", on=True)
        failed = 0
        for user in range(200):
            try:
                await bot.send_message(1000 + user, "x")
            except TelegramServerError:
                failed += 1
        assert abs(failed / 200 - BOT_ERROR_SHARE) < 0.15
        assert await bot.get_me()
        internet.faults.switch("bot-errors", on=False)
        assert internet.book.summary()["since_switch"]["errors"] == 0


async def test_single_failures_can_be_ordered(internet, bot):
    """A test orders one failure of one method; the next call works again."""
    internet.account(7)
    internet.faults.fail_next("sendMessage", Failure(429, "Too Many Requests: retry after 3", 3))
    with pytest.raises(TelegramRetryAfter):
        await bot.send_message(7, "x")
    assert await bot.send_message(7, "x")


async def test_the_model_answers_from_evidence(internet):
    """A telling name gets its category with high confidence, a meaningless one little; usage and logprobs come too."""
    async with _model(internet) as model:
        telling = await _ask(model, "TRATTORIA DA NINO RISTORANTE")
        obscure = await _ask(model, "QUVEX 0231")
    answer = json.loads(telling.choices[0].message.content)
    assert answer["category"] == "Restaurants"
    assert answer["confidence"] > 0.9
    assert json.loads(obscure.choices[0].message.content) == {"category": "Other", "confidence": 0.3}
    assert telling.usage.total_tokens == telling.usage.prompt_tokens + telling.usage.completion_tokens > 20
    tokens = telling.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == telling.choices[0].message.content


async def test_low_confidence_makes_the_model_unsure(internet):
    """Under the fault even a telling name gets no more than 0.3."""
    internet.faults.switch("low-confidence", on=True)
    async with _model(internet) as model:
        answer = await _ask(model, "TRATTORIA DA NINO RISTORANTE")
    assert json.loads(answer.choices[0].message.content)["confidence"] <= 0.3


async def test_the_model_fails_in_openais_shape(internet):
    """A wrong key, a wrong call and an ordered failure become the client's own exceptions."""
    async with _model(internet, "sk-wrong") as stranger:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
            await _ask(stranger, "x")
    async with _model(internet) as model:
        with pytest.raises(openai.BadRequestError):
            await model.chat.completions.create(model="deepseek-chat", messages=[])
        internet.faults.fail_next("chat/completions", Failure(429, "Rate limit reached"))
        with pytest.raises(openai.RateLimitError, match="Rate limit reached"):
            await _ask(model, "x")
        internet.faults.fail_next("chat/completions", Failure(500, "The server had an error"))
        with pytest.raises(openai.InternalServerError):
            await _ask(model, "x")


async def test_the_control_panel_switches_and_reports(internet, bot):
    """A fault is switched by name, an unknown one is refused with the known names, and the figures can be read."""
    async with aiohttp.ClientSession() as session:
        async with session.post(
            f"{internet.url}/control/fault", json={"name": "slow-ai", "on": True}
        ) as response:
            assert (response.status, await response.json()) == (200, {"faults": ["slow-ai"]})
        for wrong in ({"name": "fire", "on": True}, {"name": "slow-ai"}, {"name": "slow-ai", "on": 2}, []):
            async with session.post(f"{internet.url}/control/fault", json=wrong) as response:
                assert response.status == 400
        internet.account(7).write("hi")
        await bot.get_updates()
        await bot.send_message(7, "x")
        async with session.get(f"{internet.url}/control/stats") as response:
            stats = await response.json()
    assert stats["answers"]["count"] == 1
    assert 0 < stats["answers"]["p99"] < 15
    assert (stats["users"], stats["faults"]) == (0, ["slow-ai"])


async def test_a_dead_poll_does_not_swallow_updates(internet, bot):
    """A poll whose client is gone ends; the next poller gets what came meanwhile, and is its first receiver."""
    timeout = aiohttp.ClientTimeout(total=0.05)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        with pytest.raises(TimeoutError):
            await session.get(f"{internet.url}/bot{TOKEN}/getUpdates", params={"timeout": "60"})
    internet.account(7).write("hi")
    (update,) = await bot.get_updates()
    assert update.message.text == "hi"


@pytest.fixture
def own_logging(monkeypatch):
    """Let the program set up its logging, and leave nothing of that to later tests."""
    root = logging.getLogger()
    level = root.level
    monkeypatch.setattr(root, "handlers", [])
    yield
    root.setLevel(level)


def test_wrong_calls_get_one_line(capsys, own_logging):
    """A taken port and impossible values end with an exit code and one clear line, without a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--port", str(port), "--token", TOKEN]) == 1
    assert (
        capsys.readouterr().err
        == f"midas.demo.internet: port {port} on 127.0.0.1 is taken; choose another with --port\n"
    )
    for wrong, words in {
        ("--port", "0", "--token", "nonsense"): "token",
        ("--port", "70000", "--token", TOKEN): "port",
        ("--port", "0", "--token", TOKEN, "--speed", "0"): "speed",
        ("--port", "0", "--token", TOKEN, "--users", "-1"): "users",
    }.items():
        assert main(list(wrong)) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert words in line


async def test_a_wrong_token_is_not_repeated_in_messages():
    """The options' representation shows neither token nor key."""
    text = repr(InternetOptions(token=TOKEN, api_key="sk-secret"))
    assert TOKEN not in text
    assert "sk-secret" not in text
