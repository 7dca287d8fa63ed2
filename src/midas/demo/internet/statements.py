"""The statements that people hand over: a quarter's entries in their bank's dialect, overlapping the one before."""

import random
from datetime import date, timedelta
from decimal import Decimal

from midas.demo.internet.dialects import write_statement
from midas.demo.internet.entries import Entry, draw_entries
from midas.demo.internet.people import Person

MOST_ENTRIES = 25
OVERLAP = 2  # entries of the last statement that the next one contains again


def next_statement(person: Person, today: date, *, obscure: bool) -> tuple[str, bytes]:
    """Return name and content of the person's next statement file.

    Args:
        person: Whose account it is; what the statement contains is remembered for the next one.
        today: The last day it may cover.
        obscure: Whether it names obscure shops only.
    """
    count = min(MOST_ENTRIES, 2 + int(person.luck.expovariate(1 / 5)))
    fresh = draw_entries(person.luck, count, today, obscure=obscure)
    entries = sorted([*person.past, *fresh], key=lambda entry: entry.day)
    person.past = fresh[-OVERLAP:]
    return write_statement(person.dialect, person.account, entries)


def savings_statement(person: Person, today: date) -> tuple[str, bytes]:
    """Return name and content of the file about the person's second account: what they put by, and no shop."""
    entries = [
        Entry(
            today - timedelta(days=31 * month),
            Decimal(person.luck.randrange(5_000, 40_000)) / 100,
            "SPARPLAN",
            "TAGESGELD",
        )
        for month in (3, 2, 1)
    ]
    return write_statement("ofx", person.savings, entries)


def break_statement(data: bytes, luck: random.Random) -> bytes:
    """Return the file as a bad download leaves it: an amount is no number any more, or the end is missing."""
    lines = data.splitlines(keepends=True)
    if data.startswith(b"OFXHEADER"):
        return b"".join(lines[: len(lines) // 2])
    index = luck.randrange(1, len(lines))
    torn = lines[index].rstrip(b"\r\n")
    return b"".join([*lines[:index], torn[: max(1, len(torn) // 3)], b"\r\n", *lines[index + 1 :]])
