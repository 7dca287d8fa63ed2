"""The demo's programs get the secrets that they need, and none where others could read it."""

from pathlib import Path

import pytest

from midas.demo.fleet import Access, Fleet
from midas.demo.options import DemoOptions

REAL = {
    "TELEGRAM_BOT_TOKEN": "123456:the-real-token-of-somebody",
    "DEEPSEEK_API_KEY": "sk-the-real-key-of-somebody",
}
STORES = {"DATABASE_URL": "postgresql://a:b@c/d", "REDIS_URL": "redis://:e@f/0"}


def fleet(environ: dict[str, str]) -> Fleet:
    return Fleet(DemoOptions(), Access.from_env(environ), environ, Path("logs"))


@pytest.mark.parametrize("given", [{}, *({name: value} for name, value in REAL.items()), REAL])
def test_no_real_secret_stands_on_a_command_line(given):
    """Every account of the machine can list command lines."""
    made = fleet(given)
    programs = [made.bot(STORES), *made.workers(STORES)]
    if made.access.internet_port is not None:
        programs.append(made.internet())
    for program in programs:
        line = " ".join(program.command)
        assert not any(secret in line for secret in (*given.values(), *STORES.values()))


def test_each_service_is_switched_by_its_own_variable():
    """A token alone makes Telegram the real one and leaves the language model local, and the other way round."""
    token = {"TELEGRAM_BOT_TOKEN": REAL["TELEGRAM_BOT_TOKEN"]}
    with_token = fleet(token)
    bot = with_token.bot(STORES)
    assert bot.environ is not None
    assert bot.environ["TELEGRAM_BOT_TOKEN"] == REAL["TELEGRAM_BOT_TOKEN"]
    assert "TELEGRAM_API_URL" not in bot.environ
    assert bot.environ["LLM_BASE_URL"].startswith("http://127.0.0.1:")
    assert "--users" in with_token.internet().command

    with_key = fleet({"DEEPSEEK_API_KEY": REAL["DEEPSEEK_API_KEY"]})
    worker = with_key.workers(STORES)[0]
    assert worker.environ is not None
    assert worker.environ["DEEPSEEK_API_KEY"] == REAL["DEEPSEEK_API_KEY"]
    assert "LLM_BASE_URL" not in worker.environ
    assert "--users" not in with_key.internet().command

    assert fleet(REAL).access.internet_port is None


def test_the_rest_of_our_environment_stays_with_us():
    """A child gets what it needs, not what else somebody has in their shell."""
    made = fleet({"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "LOG_LEVEL": "debug"})
    environ = made.bot(STORES).environ
    assert environ is not None
    assert environ["LOG_LEVEL"] == "debug"
    assert "AWS_SECRET_ACCESS_KEY" not in environ
