"""Cards are named by the ends of their numbers, and a name that could mean two means none."""

from decimal import Decimal

import pytest

from midas.domain import Money
from midas.domain.cards import Card, find_card
from midas.errors import TransferRefused


def card(account, currency="EUR"):
    return Card(1, account, Money(Decimal(5), currency))


CARDS = [card("DE12004021"), card("DE99554021"), card("DE7788"), card(""), card("", "USD")]


def test_names_are_short_and_tell_no_whole_number():
    """The last four digits, or the currency of what has no number."""
    assert [known.name for known in CARDS] == ["•4021", "•4021", "•7788", "EUR", "USD"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("7788", 2),
        ("•7788", 2),
        ("88", 2),
        ("de7788", 2),
        ("004021", 0),
        ("*554021", 1),
        ("eur", 3),
        ("USD", 4),
    ],
)
def test_a_card_is_found_by_the_end_of_its_number(typed, meant):
    """With or without decoration, in any case, as many digits as it takes."""
    assert find_card(CARDS, typed) is CARDS[meant]


@pytest.mark.parametrize(
    ("cards", "typed", "words"),
    [
        (CARDS, "4021", "4021 fits 2 of your cards; write more of its number"),
        (CARDS, "1111", "you have no card 1111; yours are •4021, •4021, •7788, EUR, USD"),
        (CARDS, "•", "you have no card •;"),
        (CARDS, "GBP", "you have no card GBP;"),
        ([], "7788", "you have no card 7788, nor any other"),
    ],
)
def test_what_is_no_card_is_refused(cards, typed, words):
    """The message says which cards there are, or that it could be two."""
    with pytest.raises(TransferRefused) as refused:
        find_card(cards, typed)
    assert words in str(refused.value)
