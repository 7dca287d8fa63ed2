"""Finds card numbers and IBANs in text by their check digits.

Numbers that merely are long stay: Unix milliseconds begin with 1, trace ids are not made of digits alone, and of
the rest nine in ten fail the check. Every function is linear in the length of the text.
"""

from __future__ import annotations

import re
import string
from functools import cache
from itertools import accumulate
from typing import Final

from botmetry.logs.names import MASK

__all__ = ["is_card_number", "mask_payment_numbers"]

MIN_DIGITS: Final = 13
MAX_DIGITS: Final = 19  # ISO/IEC 7812-1

CARD_BEGINNINGS: Final = ("2", "3", "4", "5", "6", "81", "82", "9792")
"""First digits of payment networks: Mir and Mastercard, Amex and JCB, Visa, Mastercard, Maestro and UnionPay, RuPay,
Troy. 1 is left out on purpose: it begins Unix milliseconds, microseconds and nanoseconds until 2033."""

IBAN_LENGTHS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip
"""Length by country, from the SWIFT IBAN registry."""

_SEPARATORS = " \u00a0\u2009\u202f\u2010\u2011-"
_CARD = re.compile(
    # A date is consumed first: the digits of two dates in a row must not be read as one number.
    r"(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9](?![0-9])"
    rf"|[0-9](?:[{_SEPARATORS}]?[0-9]){{{MIN_DIGITS - 1},}}"
)
# Begins at a digit, because digits are rare in text and letters are not; the country stands before it.
_IBAN_START = re.compile(r"[0-9](?<=[A-Za-z]{2}[0-9])[0-9]")

# Letters become `a` and digits `0`, so that one search for a constant tells whether a closer look is needed.
_SHAPE = bytes.maketrans(
    (string.digits + string.ascii_letters).encode(),
    b"0" * len(string.digits) + b"a" * len(string.ascii_letters),
)
_SEPARATOR_BYTES = _SEPARATORS.encode()
_CARD_SHAPE = b"0" * MIN_DIGITS
_IBAN_SHAPE = b"aa00"
# A is 10, Z is 35 (ISO 13616).
_LETTERS_AS_NUMBERS = {ord(sign): str(int(sign, 36)) for sign in string.ascii_letters}
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def mask_payment_numbers(text: str) -> str:
    """Return `text` with every card number and IBAN replaced."""
    shape = text.encode("utf-8", "replace").translate(_SHAPE, _SEPARATOR_BYTES)
    if _CARD_SHAPE in shape:
        text = _CARD.sub(_mask_cards, text)
    if _IBAN_SHAPE in shape:
        text = _mask_ibans(text)
    return text


def is_card_number(digits: str) -> bool:
    """Tell whether a string of digits is the number of a payment card: length, first digits, Luhn check."""
    return bool(digits) and _mask_digits(digits) != digits


def _mask_cards(match: re.Match[str]) -> str:
    start, text = match.start(), match.string
    if start > 1 and text[start - 1] == "." and text[start - 2].isdigit():
        return match.group()  # the fraction of a decimal number
    return _mask_digits(match.group())


def _mask_digits(run: str) -> str:
    """Mask the card numbers in a run of digits that single separators may divide.

    A number may begin and end only where a group does, and the sums of both parities are kept from the start, so that
    the Luhn check of any part of the run is one subtraction: hostile text costs no more than friendly text.
    """
    places = [place for place, sign in enumerate(run) if "0" <= sign <= "9"]
    count = len(places)
    if count < MIN_DIGITS or (count > MAX_DIGITS and count == len(run)):
        return run
    digits = [int(run[place]) for place in places]
    sums = [
        list(accumulate((_DOUBLED[d] if i % 2 == parity else d for i, d in enumerate(digits)), initial=0))
        for parity in (0, 1)
    ]
    begins = [i == 0 or places[i] - places[i - 1] > 1 for i in range(count)]
    kept: list[str] = []
    done = i = 0
    while i <= count - MIN_DIGITS:
        end = _card_end(run, places, begins, sums, i) if begins[i] else 0
        if end:
            kept += (run[done : places[i]], MASK)
            done, i = places[end - 1] + 1, end
        else:
            i += 1
    return "".join((*kept, run[done:]))


def _card_end(run: str, places: list[int], begins: list[bool], sums: list[list[int]], i: int) -> int:
    """Return the index after the last digit of the longest card number that begins at digit `i`, else 0."""
    if not "".join(run[place] for place in places[i : i + 4]).startswith(CARD_BEGINNINGS):
        return 0
    count = len(places)
    for end in range(min(i + MAX_DIGITS, count), i + MIN_DIGITS - 1, -1):
        total = sums[end % 2]  # the digit before the last one is the first that is doubled
        if (end == count or begins[end]) and (total[end] - total[i]) % 10 == 0:
            return end
    return 0


def _mask_ibans(text: str) -> str:
    kept: list[str] = []
    done = 0
    for match in _IBAN_START.finditer(text):
        start = match.start() - 2
        if start < done:
            continue
        end = _iban_end(text, start)
        if end:
            kept += (text[done:start], MASK)
            done = end
    return "".join((*kept, text[done:])) if kept else text


def _iban_end(text: str, start: int) -> int:
    """Return the end of the IBAN at `start`, else 0."""
    length = IBAN_LENGTHS.get(text[start : start + 2].upper())
    rest = _iban_rest(length).match(text, start + 4) if length else None
    if rest is None:
        return 0
    end = rest.end()
    number = "".join(filter(str.isalnum, text[start:end]))
    if not number.isupper() and (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()):
        return 0  # lower case inside a longer word: a hexadecimal id
    rearranged = (number[4:] + number[:4]).translate(_LETTERS_AS_NUMBERS)
    return end if int(rearranged) % 97 == 1 else 0  # ISO 7064 MOD 97-10


@cache  # there are twenty lengths, and few programs meet more than two
def _iban_rest(length: int) -> re.Pattern[str]:
    return re.compile(rf"(?:[{_SEPARATORS}]?[A-Za-z0-9]){{{length - 4}}}")
