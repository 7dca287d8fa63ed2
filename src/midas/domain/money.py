"""Amounts of money: exact decimals with a currency, never floats.

The number of decimals of a currency follows ISO 4217 (two, except the listed ones).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Final, Literal, TypeAlias

DecimalMark: TypeAlias = Literal[".", ","]

LARGEST: Final = Decimal(10) ** 15
"""Amounts from here on are refused: no bank account holds them, and every sum stays exact below."""

_WITHOUT_DECIMALS: Final = frozenset(
    {
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    }
)
_DECIMALS: Final = {
    **dict.fromkeys(_WITHOUT_DECIMALS, 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_SIGNS: Final = str.maketrans(
    {"\u2212": "-", "\u2013": "-", "\u2012": "-", "\u00a0": " ", "\u202f": " ", "\u2019": "'"}
)
_SYMBOLS: Final = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY"}
_GROUPED: Final = {
    ".": re.compile(r"[+-]?(\d+|\d{1,3}([,' ]\d{3})+)?(\.\d*)?"),
    ",": re.compile(r"[+-]?(\d+|\d{1,3}([.' ]\d{3})+)?(,\d*)?"),
}
_PRECISION: Final = 40


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount in one currency.

    Raises:
        ValueError: The currency is not three capital letters, or the amount is not a finite number below 10^15.
    """

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not is_currency(self.currency):
            raise ValueError(f"{self.currency!r} is not an ISO 4217 currency code")
        if not self.amount.is_finite() or abs(self.amount) >= LARGEST:
            raise ValueError(f"{self.amount} is not an amount of money")

    def __str__(self) -> str:
        return format_amount(self.amount, self.currency)

    def rounded(self) -> Money:
        """Give the amount in whole smallest units, halves to even (banker's rounding)."""
        with localcontext(prec=_PRECISION):
            return Money(self.amount.quantize(_unit(self.currency), rounding=ROUND_HALF_EVEN), self.currency)


def is_currency(text: str) -> bool:
    """Tell whether the text has the form of an ISO 4217 code."""
    return _CURRENCY.fullmatch(text) is not None


def decimals(currency: str) -> int:
    """Give the number of digits after the decimal mark: 2 for EUR, 0 for JPY, 3 for KWD."""
    return _DECIMALS.get(currency, 2)


def format_amount(amount: Decimal, currency: str, mark: DecimalMark = ".") -> str:
    """Write an amount for a person, rounded to whole smallest units: ``-1,234.50 EUR``.

    With ``mark=","`` the thousands are separated by points: ``-1.234,50 EUR``.

    >>> format_amount(Decimal("-1234.5"), "EUR")
    '-1,234.50 EUR'
    >>> format_amount(Decimal("1234.5"), "EUR", mark=",")
    '1.234,50 EUR'
    """
    with localcontext(prec=_PRECISION):
        rounded = amount.quantize(_unit(currency), rounding=ROUND_HALF_EVEN)
        # Adding zero turns -0.00 into 0.00, which is what a person expects to read.
        text = f"{rounded + 0:,f}"
    if mark == ",":
        text = text.translate(str.maketrans(",.", ".,"))
    return f"{text} {currency}"


def parse_amount(text: str, mark: DecimalMark = ".") -> tuple[Decimal, str | None]:
    """Read an amount as banks write it: sign before or after it, groups of thousands, a currency beside it.

    Returns:
        The amount, and the currency code where the text names one, else None.

    Raises:
        ValueError: The text is not an amount with this decimal mark.

    >>> parse_amount("1.234,50- EUR", mark=",")
    (Decimal('-1234.50'), 'EUR')
    """
    rest, currency = _split_currency(text.translate(_SIGNS).strip())
    negative = False
    if rest.startswith("(") and rest.endswith(")"):
        # Accountants write what is owed in brackets.
        rest, negative = rest[1:-1].strip(), True
    elif rest.endswith(("-", "+")):
        rest, negative = rest[:-1].strip(), rest.endswith("-")
    if rest[:1] in {"+", "-"}:
        rest = rest[0] + rest[1:].lstrip()
    digits = any("0" <= character <= "9" for character in rest)
    if (
        not digits
        or not rest.isascii()
        or not _GROUPED[mark].fullmatch(rest)
        or (negative and rest[0] in "+-")
    ):
        raise ValueError(f"{text.strip()[:40]!r} is not an amount")
    for separator in {",", ".", "'", " "} - {mark}:
        rest = rest.replace(separator, "")
    amount = Decimal(rest.replace(mark, "."))
    if abs(amount) >= LARGEST:
        raise ValueError(f"{text.strip()[:40]!r} is larger than any account")
    return (-amount if negative else amount), currency


def _split_currency(text: str) -> tuple[str, str | None]:
    for symbol, code in _SYMBOLS.items():
        if symbol in text:
            return text.replace(symbol, "", 1).strip(), code
    if is_currency(text[-3:]):
        return text[:-3].strip(), text[-3:]
    if is_currency(text[:3]):
        return text[3:].strip(), text[:3]
    return text, None


def _unit(currency: str) -> Decimal:
    return Decimal(1).scaleb(-decimals(currency))
