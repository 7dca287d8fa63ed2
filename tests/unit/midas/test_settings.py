"""Settings come from an injected environment, checked once."""

import pytest

from midas.errors import SettingsError
from midas.settings import Settings, without_password

TOKEN = "123456:AAE-secret_token"


def test_nothing_set_gives_the_defaults():
    """Everything has a default, and what has none is empty."""
    settings = Settings.from_env({})

    assert settings == Settings()
    assert (settings.bot_metrics_port, settings.worker_metrics_port, settings.auto_confirm_threshold) == (
        8000,
        8001,
        0.85,
    )
    assert (settings.log.level, settings.log.output) == ("info", "stderr")


def test_every_variable_is_read():
    """Each documented variable reaches its field."""
    settings = Settings.from_env(
        {
            "DATABASE_URL": "postgresql://u:p@h:1/d",
            "REDIS_URL": "unix:///tmp/redis.sock",
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": "http://127.0.0.1:8081",
            "DEEPSEEK_API_KEY": "sk-1",
            "LLM_BASE_URL": "http://127.0.0.1:8082/v1",
            "LLM_MODEL": "m",
            "BOT_METRICS_PORT": "0",
            "WORKER_METRICS_PORT": "65535",
            "AUTO_CONFIRM_THRESHOLD": "1",
            "LOG_LEVEL": "DEBUG",
            "LOG_OUTPUT": "/tmp/x.jsonl",
        }
    )

    assert settings == Settings(
        database_url="postgresql://u:p@h:1/d",
        redis_url="unix:///tmp/redis.sock",
        telegram_token=TOKEN,
        telegram_api_url="http://127.0.0.1:8081",
        deepseek_api_key="sk-1",
        llm_base_url="http://127.0.0.1:8082/v1",
        llm_model="m",
        bot_metrics_port=0,
        worker_metrics_port=65535,
        auto_confirm_threshold=1.0,
        log_level="debug",
        log_output="/tmp/x.jsonl",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://u:hunter2@h/d"),
        ("DATABASE_URL", "postgresql://u:hunter2@h:port/d"),
        ("REDIS_URL", "http://:hunter2@h"),
        ("TELEGRAM_BOT_TOKEN", "hunter2"),
        ("TELEGRAM_API_URL", "ftp://x"),
        ("BOT_METRICS_PORT", "70000"),
        ("BOT_METRICS_PORT", "http"),
        ("WORKER_METRICS_PORT", "-1"),
        ("AUTO_CONFIRM_THRESHOLD", "1.01"),
        ("AUTO_CONFIRM_THRESHOLD", "nan"),
        ("AUTO_CONFIRM_THRESHOLD", "high"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_an_impossible_value_is_one_line_that_names_the_variable(name, value):
    """The error says which variable, in one line, and never repeats a secret."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({name: value})

    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    assert "hunter2" not in message


def test_what_is_needed_and_missing_is_said():
    """Whoever needs a setting that is not set learns its variable."""
    with pytest.raises(SettingsError, match="DATABASE_URL: is not set"):
        Settings().required("database_url")
    assert Settings(database_url="postgresql://x").required("database_url") == "postgresql://x"


def test_secrets_are_not_shown():
    """Printing the settings shows neither token, key nor passwords."""
    settings = Settings(
        database_url="postgresql://u:hunter2@h/d",
        redis_url="redis://:hunter2@h",
        telegram_token="1:hunter2",
        deepseek_api_key="hunter2",
    )

    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:hunter2@h:5432/d?password=hunter2", "postgresql://h:5432/d"),
        ("redis://:hunter2@[::1]:6379/0", "redis://[::1]:6379/0"),
        ("postgresql://u:hunter2@h:port/d", "an address that cannot be read"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url, shown):
    """User, password and query are left out."""
    assert without_password(url) == shown
