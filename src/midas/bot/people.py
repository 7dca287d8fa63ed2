"""The person behind an update, as the store remembers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiogram.types import User

    from midas.store import Store


async def remember(store: Store, user: User, chat_id: int) -> None:
    """Store the person under the name they have now, and where answers go.

    Raises:
        StoreUnavailable: PostgreSQL does not answer.
    """
    await store.users.ensure(user.id, user.full_name, chat_id)
