"""Finds out how a bank writes dates: the format that the whole column obeys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# Groups: year, month, day as far as the order of the format says; then time of day, then offset from UTC.
_TIME: Final = r"(?:[T ,]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})?)?"
_MONTHS: Final = {
    name: index
    for index, names in enumerate(
        (
            "jan januar january",
            "feb februar february",
            "mar maerz mrz march",
            "apr april",
            "may mai",
            "jun juni june",
            "jul juli july",
            "aug august",
            "sep sept september",
            "oct okt oktober october",
            "nov november",
            "dec dez dezember december",
        ),
        start=1,
    )
    for name in names.split()
}


@dataclass(frozen=True, slots=True)
class DateFormat:
    """One way to write a day."""

    name: str
    order: str
    """The letters y, m, d in the order in which they are written."""
    pattern: re.Pattern[str]

    def parse(self, text: str) -> datetime:
        """Read a date, with or without a time of day; without an offset it is taken as UTC.

        Raises:
            ValueError: The text is not such a date.
        """
        match = self.pattern.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:40]!r} is not a date written {self.name}")
        parts = dict(zip(self.order, match.groups()[:3], strict=True))
        year = int(parts["y"]) + (2000 if len(parts["y"]) == 2 else 0)  # noqa: PLR2004 -- 26 is 2026
        hour, minute, second, offset = match.groups()[3:]
        moment = datetime(
            year,
            _month(parts["m"]),
            int(parts["d"]),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            tzinfo=UTC,
        )
        earliest, latest = 1900, 2100
        if not earliest <= year <= latest:
            raise ValueError(f"{text[:40]!r} is not a date of this age")
        return moment - _offset(offset)


DATE_FORMATS: Final = tuple(
    DateFormat(name, order, re.compile(pattern + _TIME, re.ASCII))
    for name, order, pattern in (
        ("YYYY-MM-DD", "ymd", r"(\d{4})-(\d{1,2})-(\d{1,2})"),
        ("DD.MM.YYYY", "dmy", r"(\d{1,2})\.(\d{1,2})\.(\d{4})"),
        ("DD.MM.YY", "dmy", r"(\d{1,2})\.(\d{1,2})\.(\d{2})"),
        ("DD/MM/YYYY", "dmy", r"(\d{1,2})/(\d{1,2})/(\d{4})"),
        ("MM/DD/YYYY", "mdy", r"(\d{1,2})/(\d{1,2})/(\d{4})"),
        ("DD/MM/YY", "dmy", r"(\d{1,2})/(\d{1,2})/(\d{2})"),
        ("MM/DD/YY", "mdy", r"(\d{1,2})/(\d{1,2})/(\d{2})"),
        ("DD-MM-YYYY", "dmy", r"(\d{1,2})-(\d{1,2})-(\d{4})"),
        ("YYYY/MM/DD", "ymd", r"(\d{4})/(\d{1,2})/(\d{1,2})"),
        ("YYYYMMDD", "ymd", r"(\d{4})(\d{2})(\d{2})"),
        ("DD Mon YYYY", "dmy", r"(\d{1,2})\.?[ -]([A-Za-zä]{3,9})\.?[ -](\d{4})"),
        ("Mon DD, YYYY", "mdy", r"([A-Za-zä]{3,9})\.? (\d{1,2}), (\d{4})"),
    )
)


def detect_date_format(dates: Sequence[str]) -> DateFormat:
    """Give the format that most of the dates obey.

    03/04/2026 alone may be April or March. Where all dates fit both, the reading under which the statement is
    sorted is taken, as banks sort by date; if that does not decide, the day comes first, as nearly everywhere in
    the world.

    Raises:
        ValueError: No format fits any of them.
    """
    counts = {
        form: sum(1 for text in dates if form.pattern.fullmatch(text) and _fits(form, text))
        for form in DATE_FORMATS
    }
    most = max(counts.values())
    if most == 0:
        raise ValueError(f"{dates[0][:40]!r} is not a date")
    best = [form for form in DATE_FORMATS if counts[form] == most]
    return next((form for form in best if _is_sorted(form, dates)), best[0]) if len(best) > 1 else best[0]


def _month(text: str) -> int:
    if text.isdecimal():
        return int(text)
    month = _MONTHS.get(text.casefold().replace("ä", "ae"))
    if month is None:
        raise ValueError(f"{text!r} is not a month")
    return month


def _offset(text: str | None) -> timedelta:
    if text is None or text == "Z":
        return timedelta(0)
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return -offset if text[0] == "-" else offset


def _fits(form: DateFormat, text: str) -> bool:
    try:
        form.parse(text)
    except (ValueError, OverflowError):
        return False
    return True


def _is_sorted(form: DateFormat, dates: Sequence[str]) -> bool:
    moments = [form.parse(text) for text in dates if _fits(form, text)]
    return moments == sorted(moments) or moments == sorted(moments, reverse=True)
