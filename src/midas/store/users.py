"""Who uses the assistant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    from midas.store.connection import Database

_ENSURE: Final = """
    INSERT INTO users (id, display_name, chat_id) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE
    SET display_name = excluded.display_name, chat_id = excluded.chat_id, last_seen_at = now()
    RETURNING id, display_name, chat_id, created_at, last_seen_at
    """
_ENSURE_KNOWN: Final = """
    INSERT INTO users (id, display_name, chat_id) VALUES ($1, ($1::bigint)::text, $1)
    ON CONFLICT (id) DO NOTHING
    """
_COLUMNS: Final = "SELECT id, display_name, chat_id, created_at, last_seen_at FROM users"
_GET: Final = f"{_COLUMNS} WHERE id = $1"
_OF_CHAT: Final = f"{_COLUMNS} WHERE chat_id = $1 ORDER BY id"
_SEEN_SINCE: Final = f"{_COLUMNS} WHERE last_seen_at >= $1 ORDER BY last_seen_at DESC"


@dataclass(frozen=True, slots=True)
class User:
    """A person who talks to the bot."""

    id: int
    """Telegram's id."""
    display_name: str
    chat_id: int
    """Where answers go."""
    created_at: datetime
    last_seen_at: datetime


class Users:
    """The people who talk to the bot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure(self, user_id: int, display_name: str, chat_id: int) -> User:
        """Remember the user, newly or again, with the name and chat as they are now."""
        row = await self._database.row(_ENSURE, user_id, display_name, chat_id)
        assert row is not None
        return _user(row)

    async def ensure_known(self, user_id: int) -> None:
        """Make sure that the user exists, without changing what is known; for imports outside a chat."""
        await self._database.rows(_ENSURE_KNOWN, user_id)

    async def get(self, user_id: int) -> User | None:
        """Give the user, or None for a stranger."""
        row = await self._database.row(_GET, user_id)
        return None if row is None else _user(row)

    async def of_chat(self, chat_id: int) -> list[User]:
        """Give the users whose answers go into this chat."""
        return [_user(row) for row in await self._database.rows(_OF_CHAT, chat_id)]

    async def seen_since(self, since: datetime) -> list[User]:
        """Give the users who said something since then, the latest first."""
        return [_user(row) for row in await self._database.rows(_SEEN_SINCE, since)]


def _user(row: asyncpg.Record) -> User:
    return User(**dict(row))
