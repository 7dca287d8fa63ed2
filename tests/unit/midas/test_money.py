"""Money is exact, and what is written can be read again."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas.domain.money import LARGEST, Money, decimals, format_amount, parse_amount

CURRENCIES = st.sampled_from(["EUR", "USD", "GBP", "CHF", "JPY", "KWD"])
AMOUNTS = st.decimals(-(10**12), 10**12, places=2)


@given(amount=AMOUNTS, currency=CURRENCIES, mark=st.sampled_from([".", ","]))
def test_what_is_written_reads_back_as_the_rounded_amount(amount, currency, mark):
    """An amount in any currency and notation reads back as itself, rounded to the currency's smallest unit."""
    text = format_amount(amount, currency, mark)

    assert parse_amount(text, mark) == (Money(amount, currency).rounded().amount, currency)


@given(amount=AMOUNTS, currency=CURRENCIES)
def test_rounding_moves_less_than_one_smallest_unit(amount, currency):
    """Rounding changes an amount by at most half a smallest unit, and a second rounding by nothing."""
    rounded = Money(amount, currency).rounded()

    assert abs(rounded.amount - amount) <= Decimal(5).scaleb(-decimals(currency) - 1)
    assert rounded.rounded() == rounded


@pytest.mark.parametrize(
    ("text", "mark", "amount", "currency"),
    [
        ("1.234,56", ",", "1234.56", None),
        ("1,234.56", ".", "1234.56", None),
        ("1'234.56", ".", "1234.56", None),
        ("1 234,56 €", ",", "1234.56", "EUR"),
        ("$1,234.56", ".", "1234.56", "USD"),
        ("-12,30 EUR", ",", "-12.30", "EUR"),
        ("12,30-", ",", "-12.30", None),
        ("- 12,30", ",", "-12.30", None),
        ("(12.30)", ".", "-12.30", None),
        ("\u221212.30", ".", "-12.30", None),
        ("+5", ".", "5", None),
        (".5", ".", "0.5", None),
        ("7,", ",", "7", None),
    ],
)
def test_the_ways_banks_write_amounts_are_understood(text, mark, amount, currency):
    """Signs before and after, brackets, groups of thousands and currencies mean what people mean by them."""
    assert parse_amount(text, mark) == (Decimal(amount), currency)


@pytest.mark.parametrize(
    "text",
    ["", "-", "EUR", "abc", "1.2.3", "1,23.4", "12e3", "NaN", "--5", "(-5)", "-5-", "٣", "1" * 20, "12 34"],
)
def test_what_is_no_amount_is_refused(text):
    """Anything else is an error and never a wrong number."""
    with pytest.raises(ValueError, match="is not an amount|larger than any account"):
        parse_amount(text, ".")


@given(st.text(max_size=30), st.sampled_from([".", ","]))
def test_no_text_makes_reading_fail_otherwise(text, mark):
    """Reading any text gives an amount below the limit or a ValueError."""
    try:
        amount, currency = parse_amount(text, mark)
    except ValueError:
        return
    assert abs(amount) < LARGEST
    assert currency is None or len(currency) == 3


def test_minus_zero_is_written_as_zero():
    """Nobody reads -0.00 EUR."""
    assert format_amount(Decimal("-0.001"), "EUR") == "0.00 EUR"


@pytest.mark.parametrize(
    ("amount", "currency"), [("1", "eur"), ("1", "EURO"), ("NaN", "EUR"), ("1e15", "EUR")]
)
def test_money_needs_a_currency_and_a_finite_amount(amount, currency):
    """Money that no account can hold cannot be made."""
    with pytest.raises(ValueError, match="is not a"):
        Money(Decimal(amount), currency)


def test_money_is_shown_rounded_with_its_currency():
    """A balance in a message looks as people write it."""
    assert str(Money(Decimal("-1234.555"), "EUR")) == "-1,234.56 EUR"
    assert str(Money(Decimal("1234.5"), "JPY")) == "1,234 JPY"
