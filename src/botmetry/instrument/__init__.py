"""Operations: timed, counted, in flight, observed, written once for `def`, `async def` and `with`."""

from botmetry.instrument.operation import Instrument, Operation
from botmetry.instrument.outcome import OUTCOMES, Outcome, outcome_of
from botmetry.instrument.report import Description, EventLog, Reporter
from botmetry.instrument.series import UNTIMED, OperationSeries

__all__ = [
    "OUTCOMES",
    "UNTIMED",
    "Description",
    "EventLog",
    "Instrument",
    "Operation",
    "OperationSeries",
    "Outcome",
    "Reporter",
    "outcome_of",
]
