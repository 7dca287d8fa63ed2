"""Redis as a server that goes away and comes back, and its scripts as data; what the queue and the sagas stand on."""

from midas.redis.cancellation import cancellations, end, raise_if_cancelled
from midas.redis.connection import Availability, connect, connect_from_thread, place_of, pool_state, reason_of
from midas.redis.scripts import Argument, Call, Script
from midas.redis.sender import Sender

__all__ = [
    "Argument",
    "Availability",
    "Call",
    "Script",
    "Sender",
    "cancellations",
    "connect",
    "connect_from_thread",
    "end",
    "place_of",
    "pool_state",
    "raise_if_cancelled",
    "reason_of",
]
