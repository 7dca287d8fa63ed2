"""The bot as a process: it starts or says why not, loses nothing at its end, and keeps promises after a restart."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from midas.bot import run_bot
from midas.bot.deliveries import MOST_PROMISES
from midas.demo.ports import free_port
from midas.errors import QueueUnavailable, SettingsError, StoreUnavailable

from .conftest import DEADLINE_SECONDS, TOKEN, Person, metric, running_bot
from .test_statements import STATEMENT


async def test_a_wrong_token_is_one_clear_line(settings):
    """Telegram's refusal names the variable and where to get a new token, and never the token itself."""
    with pytest.raises(SettingsError) as caught:
        await run_bot(replace(settings, telegram_token="123456:wrong-token-of-somebody"))
    text = str(caught.value)
    assert text.startswith("TELEGRAM_BOT_TOKEN: is refused by http://127.0.0.1:")
    assert "@BotFather" in text
    assert "wrong-token" not in text


async def test_missing_and_impossible_settings_are_named(settings):
    """Without a token, a database or Redis the error names the variable or the place."""
    for change, error, words in (
        ({"telegram_token": ""}, SettingsError, "TELEGRAM_BOT_TOKEN: is not set"),
        ({"telegram_token": "nonsense"}, SettingsError, "TELEGRAM_BOT_TOKEN: must look like"),
        ({"database_url": ""}, SettingsError, "DATABASE_URL: is not set"),
        (
            {"database_url": f"postgresql://x@127.0.0.1:{free_port()}/x"},
            StoreUnavailable,
            "PostgreSQL at 127.0.0.1",
        ),
        ({"redis_url": ""}, SettingsError, "REDIS_URL: is not set"),
        ({"redis_url": "nonsense"}, SettingsError, "REDIS_URL: cannot be read"),
        ({"redis_url": f"redis://127.0.0.1:{free_port()}/0"}, QueueUnavailable, "Redis at 127.0.0.1"),
    ):
        with pytest.raises(error, match=words):
            await run_bot(replace(settings, **change))


async def test_a_taken_metrics_port_is_an_error_at_once(settings):
    """The port is named before anything else happens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=str(port)):
            await run_bot(replace(settings, bot_metrics_port=port))


async def test_it_waits_for_a_messenger_that_is_not_there_yet(settings):
    """Without Telegram the bot starts, is alive and not ready, and stops when told to."""
    ready, stop = asyncio.Event(), asyncio.Event()
    away = replace(settings, telegram_api_url=f"http://127.0.0.1:{free_port()}")
    task = asyncio.create_task(run_bot(away, ready, stop))
    url = f"http://127.0.0.1:{settings.bot_metrics_port}"
    async with asyncio.timeout(DEADLINE_SECONDS), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/readyz") as response:
                    checks = (await response.json())["checks"]
                    if {"telegram", "postgresql"} <= checks.keys():
                        break
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.01)
        assert response.status == 503
        assert checks["postgresql"]["ok"]
        assert "Telegram has not answered yet" in checks["telegram"]["error"]
        async with session.get(f"{url}/healthz") as response:
            assert response.status == 200
        assert not ready.is_set()
        stop.set()
        await task


async def test_a_running_bot_is_ready_and_measured(bot, person, settings):
    """All checks pass, and the command, the update, the user and the call are counted."""
    await person.says("/start")
    url = f"http://127.0.0.1:{settings.bot_metrics_port}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        assert set((await response.json())["checks"]) == {"postgresql", "redis", "telegram"}
    assert await metric(settings, "bot_requests_total", command="start", outcome="ok") == 1
    assert await metric(settings, "bot_updates_total", type="message") == 1
    assert await metric(settings, "bot_active_users", window="5m") == 1
    assert await metric(settings, "bot_api_calls_total", method="sendMessage", outcome="ok") == 1
    assert await metric(settings, "queue_size", queue="ai", state="ready") == 0


async def test_a_handler_under_way_is_finished_at_the_end(settings, person, postgres_url, hurry):
    """Told to stop while a handler waits for the database, the bot answers first, and confirms the update."""
    connection = await asyncpg.connect(postgres_url)
    try:
        async with running_bot(settings):
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE")
            with hurry():
                assert "I am reading" in (await person.hands_over("november.csv", STATEMENT)).text
            releasing = asyncio.get_running_loop().call_later(
                0.3, lambda: asyncio.ensure_future(transaction.rollback())
            )
        assert "3 of them new" in (await person.sees("message")).text
        assert releasing.when() > 0
    finally:
        await connection.close()


async def test_nothing_is_answered_twice_after_a_restart(settings, other_settings, person):
    """What one process has answered the next one does not answer again."""
    async with running_bot(settings):
        assert "What I can do" in (await person.says("/help")).text
    async with running_bot(other_settings):
        assert "Hello Ada" in (await person.says("/start")).text
    assert person.account.chat.inbox.empty()


async def test_what_was_written_meanwhile_is_answered_by_the_next(settings, person):
    """A message that came while no bot was running is answered when one starts."""
    person.account.write("/help")
    async with running_bot(settings):
        assert "What I can do" in (await person.sees("message")).text


async def test_a_promise_outlives_the_process(settings, other_settings, person, workshop):
    """A statement handed to one process is reported by the next, once, after the AI has finished."""
    async with running_bot(settings):
        assert "3 of them new" in (await person.hands_over("november.csv", STATEMENT)).text
    assert await workshop.work_off() == 3
    async with running_bot(other_settings):
        assert "Categorization of 3 payments finished" in (await person.sees("message")).text
        assert "What I can do" in (await person.says("/help")).text
    third = replace(settings, bot_metrics_port=free_port())
    async with running_bot(third):
        assert "What I can do" in (await person.says("/help")).text


async def test_promises_are_bounded(settings, internet, workshop, monkeypatch):
    """More promises than can be watched at once are not made; everybody is answered nevertheless."""
    monkeypatch.setattr("midas.bot.deliveries.MOST_PROMISES", 2)
    assert MOST_PROMISES > 2
    async with running_bot(settings):
        people = [Person(internet.account(100 + number)) for number in range(4)]
        for number, one in enumerate(people):
            assert "3 of them new" in (await one.hands_over(f"{number}.csv", STATEMENT)).text
        assert await workshop.work_off() == 12
        for one in people[:2]:
            assert "Categorization of 3 payments finished" in (await one.sees("message")).text
        assert "What I can do" in (await people[3].says("/help")).text


async def test_log_lines_carry_the_user_and_no_secret(settings, person, tmp_path):
    """Every handled command is a JSON line with user, trace and outcome; no line contains the token or a key."""
    async with running_bot(settings):
        await person.says("/start")
        await person.says(f"my token is {TOKEN} and my card 4111 1111 1111 1111")
    text = (tmp_path / "bot.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    handled = [line for line in lines if line["event"] == "bot.request_handled"]
    assert [(line["command"], line["user_id"], line["outcome"]) for line in handled] == [
        ("start", 7, "ok"),
        ("chat", 7, "ok"),
    ]
    assert all(len(line["trace_id"]) == 32 for line in handled)
    assert TOKEN not in text
    assert "4111" not in text
    assert settings.deepseek_api_key not in text


def _environment(settings):
    return os.environ | {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "TELEGRAM_BOT_TOKEN": settings.telegram_token,
        "TELEGRAM_API_URL": settings.telegram_api_url,
        "BOT_METRICS_PORT": str(settings.bot_metrics_port),
        "PYTHONPATH": str(Path(__file__).parents[3] / "src"),
    }


def _start(settings):
    command = [sys.executable, "-m", "midas.cli", "bot"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=_environment(settings), text=True, **pipes)


async def _last_words(process):
    _, errors = await asyncio.to_thread(process.communicate, timeout=DEADLINE_SECONDS)
    return errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_with_code_zero(settings, person, number):
    """SIGTERM and SIGINT stop a real process gracefully after it has answered."""
    process = _start(settings)
    person.account.write("/start")
    assert "Hello Ada" in (await person.sees("message")).text
    process.send_signal(number)
    errors = await _last_words(process)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


async def test_a_wrong_token_ends_the_process_with_one_line(settings):
    """The command line shows one line and a code that is not zero."""
    process = _start(replace(settings, telegram_token="123456:wrong-token-of-somebody"))
    errors = await _last_words(process)
    assert process.returncode not in {0, None}
    plain = [line for line in errors.splitlines() if not line.startswith("{")]
    assert len(plain) == 1
    assert "TELEGRAM_BOT_TOKEN: is refused" in plain[0]
