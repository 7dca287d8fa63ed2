"""Questions that wait for a user: asked once, decided once, and never silently gone."""

from midas.confirmations.confirmation import Confirmation, ConfirmationStatus
from midas.confirmations.service import ConfirmationService
from midas.errors import AlreadyDecided, ConfirmationError, ConfirmationExpired, NotYours, Unknown

__all__ = [
    "AlreadyDecided",
    "Confirmation",
    "ConfirmationError",
    "ConfirmationExpired",
    "ConfirmationService",
    "ConfirmationStatus",
    "NotYours",
    "Unknown",
]
