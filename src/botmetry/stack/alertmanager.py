"""Alertmanager's configuration for a version that cannot read secrets from files.

The repository's file names secrets as files, which is how containers get them; Debian's 0.25 knows no such key
for Telegram and webhooks. Rendering puts the contents in their place, leaves out what has no secret, and the
caller writes the result where only its owner can read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

from botmetry.errors import StackError
from botmetry.stack.located import read_yaml
from botmetry.stack.pace import REAL, Pace

__all__ = ["read_secrets", "render_alertmanager"]

Document = dict[str, Any]

_INTEGRATIONS = ("telegram_configs", "email_configs", "webhook_configs")


def read_secrets(folder: Path | None) -> dict[str, str]:
    """Return the contents of the secrets files in `folder` by their names; nothing without a folder.

    Raises:
        StackError: A file cannot be read.
    """
    if folder is None or not folder.is_dir():
        return {}
    try:
        texts = {path.name: path.read_text("utf-8").strip() for path in folder.iterdir() if path.is_file()}
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"a secret in {folder} cannot be read: {error}") from error
    return {name: text for name, text in texts.items() if text and not name.startswith(".")}


def render_alertmanager(
    source: Path, *, secrets: Mapping[str, str], webhook_url: str | None = None, pace: Pace = REAL
) -> Document:
    """Return the configuration in `source` with its secrets in place.

    Args:
        source: The repository's `alertmanager.yml`.
        secrets: Contents by file name, such as `telegram_bot_token`.
        webhook_url: Where every webhook goes instead of where its secret says.
        pace: Caps `group_wait` and `group_interval`.

    Raises:
        StackError: `source` is missing or broken, or a secret has the wrong form.
    """
    document: Document = read_yaml(source)
    document["templates"] = [str(source.parent / pattern) for pattern in document["templates"]]
    _fill_mail(document, secrets)
    for receiver in document["receivers"]:
        _fill_receiver(receiver, secrets, webhook_url)
    _hurry(document["route"], pace)
    return document


def _fill_mail(document: Document, secrets: Mapping[str, str]) -> None:
    settings = document["global"]
    name = PurePath(settings.pop("smtp_auth_password_file")).name
    if name in secrets:
        settings["smtp_auth_password"] = secrets[name]
        return
    for key in [key for key in settings if key.startswith("smtp_")]:
        del settings[key]
    for receiver in document["receivers"]:
        receiver.pop("email_configs", None)


def _fill_receiver(receiver: Document, secrets: Mapping[str, str], webhook_url: str | None) -> None:
    def webhook(name: str) -> str | None:
        return webhook_url or secrets.get(name)

    fill: dict[str, tuple[str, Callable[[str], object | None]]] = {
        "bot_token_file": ("bot_token", secrets.get),
        "chat_id_file": ("chat_id", lambda name: _chat_id(secrets.get(name))),
        "url_file": ("url", webhook),
    }
    for integration in _INTEGRATIONS:
        kept = [entry for entry in receiver.pop(integration, []) if _fill_entry(entry, fill)]
        if kept:
            receiver[integration] = kept


def _fill_entry(entry: Document, fill: dict[str, tuple[str, Callable[[str], object | None]]]) -> bool:
    for file_key, (key, value_of) in fill.items():
        if file_key in entry:
            value = value_of(PurePath(entry.pop(file_key)).name)
            if value is None:
                return False
            entry[key] = value
    return True


def _chat_id(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise StackError(
            f"telegram_chat_id holds {text!r}; a chat id is a number such as -1001234567890"
        ) from None


def _hurry(route: Document, pace: Pace) -> None:
    for key in ("group_wait", "group_interval"):
        if key in route:
            route[key] = pace.held(route[key])
    for child in route.get("routes", ()):
        _hurry(child, pace)
