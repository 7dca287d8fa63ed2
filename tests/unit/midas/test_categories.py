"""Categories are found as people write them."""

import pytest

from midas.domain.categories import ASSIGNABLE, CATEGORIES, NOT_SPENDING, find
from midas.errors import UnknownCategory


@pytest.mark.parametrize("name", ASSIGNABLE)
def test_every_category_is_found_in_any_case(name):
    """Nobody has to know how a category is capitalised."""
    assert find(name.lower()) == find(f"  {name.upper()} ") == name


def test_an_unambiguous_beginning_is_enough():
    """People do not type Entertainment."""
    assert find("ent") == "Entertainment"


@pytest.mark.parametrize("text", ["tra", "s", "", "Uncategorized", "sausages"])
def test_what_is_ambiguous_or_unknown_is_refused(text):
    """A wrong category is an error and never a guess; Uncategorized cannot be chosen."""
    with pytest.raises(UnknownCategory):
        find(text)


def test_a_typing_error_gets_a_suggestion():
    """The error names the category that was probably meant."""
    with pytest.raises(UnknownCategory, match="did you mean Groceries"):
        find("grocerys")


def test_the_lists_fit_together():
    """What is no spending is a category, and every name is there once."""
    assert set(CATEGORIES) >= NOT_SPENDING
    assert len(set(CATEGORIES)) == len(CATEGORIES)
