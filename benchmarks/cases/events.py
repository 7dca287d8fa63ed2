"""One JSON event with five fields, two of context; and one record of another library."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from uuid import UUID

CALLS = 100_000
FIELDS = {"command": "balance", "outcome": "ok", "duration_seconds": 0.0123, "attempt": 1, "band": "small"}


def _cost(write: Callable[[], object], finish: Callable[[], object] = lambda: None) -> float:
    """Return the microseconds of a call; `finish` brings to the output what still waits, and is paid for."""
    for _ in range(1_000):
        write()
    start = perf_counter()
    for _ in range(CALLS):
        write()
    finish()
    return (perf_counter() - start) / CALLS * 1e6


def new_ids() -> Callable[[], str]:
    """Return a function that gives another id each time, as task ids are: no line has been seen before."""
    ids = iter([str(UUID(int=number * 2**96 + number)) for number in range(2, CALLS + 2_000)])
    return lambda: next(ids)


def written(telemetry) -> Callable[[], None]:
    """Return a function that ends the telemetry, after every line was written."""

    def finish() -> None:
        telemetry.close()
        assert b"telemetry_log_lines_dropped" not in telemetry.render()
        assert b"telemetry_errors_total{" not in telemetry.render()

    return finish


def botmetry() -> float:
    """Our event, with context, redaction and the bounded buffer; the writing itself included."""
    from botmetry import LogSettings, Telemetry

    telemetry = Telemetry("bench", log=LogSettings(output="/dev/null"))
    with telemetry.context(user_id=7, chat="private"):
        return _cost(lambda: telemetry.log.info("order.paid", **FIELDS), written(telemetry))


def botmetry_new() -> float:
    """The same with an id in each line that was not there before."""
    from botmetry import LogSettings, Telemetry

    telemetry = Telemetry("bench", log=LogSettings(output="/dev/null"))
    new_id = new_ids()
    with telemetry.context(user_id=7, chat="private"):
        return _cost(lambda: telemetry.log.info("order.paid", task_id=new_id(), **FIELDS), written(telemetry))


def structlog() -> float:
    """The fastest of structlog: orjson to a bytes logger, with contextvars, timestamp and level."""
    return _structlog(lambda log: lambda: log.info("order.paid", **FIELDS))


def structlog_new() -> float:
    """The same with an id in each line that was not there before."""
    new_id = new_ids()
    return _structlog(lambda log: lambda: log.info("order.paid", task_id=new_id(), **FIELDS))


def _structlog(writer: Callable[..., Callable[[], object]]) -> float:
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
        return _cost(writer(peer.get_logger()))


def botmetry_record() -> float:
    """A stdlib record through our handler."""
    from botmetry import LogSettings, Telemetry

    telemetry = Telemetry("bench", log=LogSettings(output="/dev/null"))
    undo = telemetry.capture_logging()
    log = logging.getLogger("aiogram.dispatcher")
    log.setLevel(logging.INFO)
    with telemetry.context(user_id=7, chat="private"):
        cost = _cost(lambda: log.info("update handled", extra=FIELDS), written(telemetry))
    undo()
    return cost


def orjson_formatter() -> float:
    """A stdlib record through python-json-logger's OrjsonFormatter."""
    from pythonjsonlogger.orjson import OrjsonFormatter

    with open("/dev/null", "w") as null:
        handler = logging.StreamHandler(null)
        handler.setFormatter(OrjsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logging.getLogger().addHandler(handler)  # the root, as ours
        log = logging.getLogger("aiogram.dispatcher")
        log.setLevel(logging.INFO)
        return _cost(lambda: log.info("update handled", extra=FIELDS))
