"""Why Redis does not answer is said in the system's words, however often the client wrapped them."""

import errno
import socket

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from midas.redis import reason_of

REFUSED = OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)")
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(
    ("cause", "reason"), [(REFUSED, "Connection refused"), (UNKNOWN, "Name or service not known")]
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_wrapped_error_of_the_system_is_told_in_its_words(cause, reason, times):
    """Not "Error 111 connecting to …", nor "Error -2 connecting to …", also where the client tried again."""
    assert reason_of(wrapped(cause, times)) == reason


def test_what_redis_itself_said_is_told():
    """A refusal keeps its words, whatever had been wrong before."""
    refusal = ResponseError("LOADING Redis is loading the dataset in memory")
    refusal.__context__ = REFUSED
    assert reason_of(refusal) == "LOADING Redis is loading the dataset in memory"


def wrapped(cause: BaseException, times: int) -> BaseException:
    for _ in range(times):
        error = RedisConnectionError(f"Error {cause} connecting to 127.0.0.1:1.")
        error.__cause__ = cause
        cause = error
    return cause
