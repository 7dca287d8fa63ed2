"""One JSON event with five fields, two of context; and one record of another library."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter

CALLS = 40_000
FIELDS = {"command": "balance", "outcome": "ok", "duration_seconds": 0.0123, "attempt": 1, "band": "small"}


def _cost(write: Callable[[], object]) -> float:
    for _ in range(1_000):
        write()
    start = perf_counter()
    for _ in range(CALLS):
        write()
    return (perf_counter() - start) / CALLS * 1e6


def botmetry() -> float:
    """Our event, with context, redaction and the bounded buffer; the writing itself included."""
    from botmetry import LogSettings, Telemetry

    telemetry = Telemetry("bench", log=LogSettings(output="/dev/null"))
    with telemetry.context(user_id=7, chat="private"):
        start = perf_counter()
        cost = _cost(lambda: telemetry.log.info("order.paid", **FIELDS))
        telemetry.close()
    assert perf_counter() > start
    return cost


def structlog() -> float:
    """The fastest of structlog: orjson to a bytes logger, with contextvars, timestamp and level."""
    import orjson
    import structlog as peer

    with open("/dev/null", "wb") as null:
        peer.configure(
            cache_logger_on_first_use=True,
            wrapper_class=peer.make_filtering_bound_logger(logging.INFO),
            processors=[
                peer.contextvars.merge_contextvars,
                peer.processors.add_log_level,
                peer.processors.TimeStamper(fmt="iso", utc=True),
                peer.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            logger_factory=peer.BytesLoggerFactory(file=null),
        )
        peer.contextvars.bind_contextvars(user_id=7, chat="private")
        log = peer.get_logger()
        return _cost(lambda: log.info("order.paid", **FIELDS))


def botmetry_record() -> float:
    """A stdlib record through our handler."""
    from botmetry import LogSettings, Telemetry

    telemetry = Telemetry("bench", log=LogSettings(output="/dev/null"))
    undo = telemetry.capture_logging()
    log = logging.getLogger("aiogram.dispatcher")
    log.setLevel(logging.INFO)
    with telemetry.context(user_id=7, chat="private"):
        cost = _cost(lambda: log.info("update handled", extra=FIELDS))
    undo()
    telemetry.close()
    return cost


def orjson_formatter() -> float:
    """A stdlib record through python-json-logger's OrjsonFormatter."""
    from pythonjsonlogger.orjson import OrjsonFormatter

    with open("/dev/null", "w") as null:
        handler = logging.StreamHandler(null)
        handler.setFormatter(OrjsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        log = logging.getLogger("aiogram.dispatcher")
        log.setLevel(logging.INFO)
        log.addHandler(handler)
        log.propagate = False
        return _cost(lambda: log.info("update handled", extra=FIELDS))
