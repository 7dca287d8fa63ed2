"""What handlers work with, put together once; aiogram hands it to those that ask for `services`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midas.bot.deliveries import Deliveries
    from midas.bot.notices import Notices
    from midas.confirmations import ConfirmationService
    from midas.queue import AITaskQueue
    from midas.store import Store
    from midas.sync import CardTransfers, SyncService


@dataclass(frozen=True, slots=True)
class Services:
    """The layers below the bot."""

    store: Store
    queue: AITaskQueue
    confirmations: ConfirmationService
    sync: SyncService
    deliveries: Deliveries
    notices: Notices
    transfers: CardTransfers
