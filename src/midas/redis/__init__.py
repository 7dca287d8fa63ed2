"""Redis as a server that goes away and comes back, and its scripts as data; what the queue and the sagas stand on."""

from midas.redis.cancellation import cancellations, end, raise_if_cancelled
from midas.redis.connection import (
    SOCKET_SECONDS,
    Availability,
    connect,
    connect_from_thread,
    place_of,
    pool_state,
    reason_of,
)
from midas.redis.durability import Durability
from midas.redis.duties import LEASE_SECONDS, Duty, perform
from midas.redis.errors import NotDurable, UnsafeServer
from midas.redis.lease import LeaseThread
from midas.redis.lines import most_kept
from midas.redis.scripts import Argument, Call, Script
from midas.redis.sender import Sender
from midas.redis.server import check_server
from midas.redis.subscription import Subscription

__all__ = [
    "LEASE_SECONDS",
    "SOCKET_SECONDS",
    "Argument",
    "Availability",
    "Call",
    "Durability",
    "Duty",
    "LeaseThread",
    "NotDurable",
    "Script",
    "Sender",
    "Subscription",
    "UnsafeServer",
    "cancellations",
    "check_server",
    "connect",
    "connect_from_thread",
    "end",
    "most_kept",
    "perform",
    "place_of",
    "pool_state",
    "raise_if_cancelled",
    "reason_of",
]
