"""The audit log: what was done to a user's data, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import asyncpg

    from midas.store.connection import Database, Session

_AUDIT: Final = (
    "INSERT INTO audit_log (user_id, action, entity, entity_id, details) VALUES ($1, $2, $3, $4, $5::jsonb)"
)
_AUDIT_COLUMNS: Final = "SELECT user_id, action, entity, entity_id, details, created_at FROM audit_log"
_AUDIT_OF_USER: Final = f"{_AUDIT_COLUMNS} WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2"
_AUDIT_OF_ENTITY: Final = f"{_AUDIT_COLUMNS} WHERE entity = $1 AND entity_id = $2 ORDER BY created_at, id"
_FORGET_AUDIT: Final = """
    WITH forgotten AS (DELETE FROM audit_log WHERE created_at < $1 RETURNING id)
    SELECT count(*)::integer AS count FROM forgotten
    """


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that was done."""

    user_id: int
    action: str
    entity: str
    entity_id: str
    details: dict[str, Any]
    created_at: datetime


class Audit:
    """Who did what, for ever or until ``forget_before``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self,
        user_id: int,
        action: str,
        entity: str,
        entity_id: object,
        details: Mapping[str, object] | None = None,
    ) -> None:
        """Write one entry; `details` must be what JSON can hold."""
        async with self._database.session() as session:
            await record_in(session, user_id, action, entity, entity_id, details)

    async def of_user(self, user_id: int, limit: int = 100) -> list[AuditEntry]:
        """Give what was done for a user, the latest first."""
        return [_entry(row) for row in await self._database.rows(_AUDIT_OF_USER, user_id, limit)]

    async def of_entity(self, entity: str, entity_id: object) -> list[AuditEntry]:
        """Give the story of one thing, the oldest first."""
        return [_entry(row) for row in await self._database.rows(_AUDIT_OF_ENTITY, entity, str(entity_id))]

    async def forget_before(self, instant: datetime) -> int:
        """Delete older entries and give their number."""
        row = await self._database.row(_FORGET_AUDIT, instant)
        assert row is not None
        count: int = row["count"]
        return count


async def record_in(  # noqa: PLR0917 -- as `Audit.record` has them
    session: Session,
    user_id: int,
    action: str,
    entity: str,
    entity_id: object,
    details: Mapping[str, object] | None = None,
) -> None:
    """Write one entry within a transaction of the caller's."""
    encoded = msgspec.json.encode(details or {}).decode()
    await session.rows(_AUDIT, user_id, action, entity, str(entity_id), encoded)


def _entry(row: asyncpg.Record) -> AuditEntry:
    return AuditEntry(**{**dict(row), "details": msgspec.json.decode(row["details"])})
