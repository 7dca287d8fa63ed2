"""Questions about categories: asked, answered by button or in writing, once, by the right person."""

import pytest

from .conftest import Person

STATEMENT = (
    b"Date,Description,Amount,Currency\n"
    b"2026-11-04,QUVEX TROMBAL 0231,-40.00,EUR\n"
    b"2026-11-05,ZEMBAX LOMTRU,-15.50,EUR\n"
)


@pytest.fixture
async def asked(bot, person, workshop):
    """A person of whom two payments are asked."""
    await person.hands_over("november.csv", STATEMENT)
    await workshop.work_off()
    assert "2 payments wait for you" in (await person.sees("message")).text
    return person


async def _stored(workshop, description):
    transactions = await workshop.store.transactions.recent(7)
    return next(transaction for transaction in transactions if description in transaction.description)


async def test_a_question_is_answered_with_yes(asked, workshop):
    """The button with the guess files the payment, says so, and shows the next question in the same message."""
    seen = await asked.says("/pending")
    assert seen.text.startswith(
        "2 payments wait for your word.\n\nQUVEX TROMBAL 0231\n04 Nov 2026 · -40.00 EUR · #"
    )
    first = await _stored(workshop, "QUVEX")
    asked.presses(seen, "✅")
    assert (await asked.sees("toast")).text == f"Filed under {first.category}."
    seen = await asked.sees("edit")
    assert seen.text.startswith(f"✅ QUVEX TROMBAL 0231: {first.category}\n\n1 payment waits for your word.")
    assert (await _stored(workshop, "QUVEX")).status == "confirmed"
    asked.presses(seen, "✅")
    seen = await asked.sees("edit")
    assert seen.text.endswith("That was all: nothing waits for you any more.")
    assert seen.buttons == []


async def test_another_category_is_picked_and_taught(asked, workshop):
    """Every other category is offered; the chosen one is stored and remembered for this merchant."""
    seen = await asked.says("/pending")
    guess = (await _stored(workshop, "QUVEX")).category
    asked.presses(seen, "Another category")
    seen = await asked.sees("edit")
    captions = [caption for caption, _ in seen.buttons]
    assert "Health" in captions
    assert guess not in captions
    assert "Uncategorized" not in captions
    asked.presses(seen, "Health")
    assert (await asked.sees("toast")).text == "Filed under Health."
    stored = await _stored(workshop, "QUVEX")
    assert (stored.category, stored.status) == ("Health", "corrected")
    assert (await workshop.store.merchants.lookup(7, stored.merchant)).category == "Health"


async def test_one_can_go_back_and_on(asked):
    """Back shows the question again, later shows the other one, and round again the first."""
    first = await asked.says("/pending")
    asked.presses(first, "Another category")
    asked.presses(await asked.sees("edit"), "Back")
    seen = await asked.sees("edit")
    assert seen.text == first.text
    asked.presses(seen, "Later")
    seen = await asked.sees("edit")
    assert "ZEMBAX" in seen.text
    asked.presses(seen, "Later")
    assert "QUVEX" in (await asked.sees("edit")).text


async def test_a_double_click_decides_once(asked, workshop):
    """Of two presses of the same button one files, the other is told so; the payment is counted once."""
    seen = await asked.says("/pending")
    asked.presses(seen, "✅")
    asked.presses(seen, "✅")
    toasts = {(await asked.sees("toast")).text for _ in range(2)}
    assert len(toasts) == 2
    assert "You decided this one already." in toasts
    stored = await _stored(workshop, "QUVEX")
    assert (await workshop.store.merchants.lookup(7, stored.merchant)).confirmations == 1


async def test_nobody_answers_for_somebody_else(asked, internet, workshop):
    """A stranger who gets hold of a button's data changes nothing and learns nothing."""
    seen = await asked.says("/pending")
    stranger = Person(internet.account(8, "Eve"))
    own = await stranger.says("/start")
    stranger.account.press(own, seen.buttons[0][1])
    assert (await stranger.sees("toast")).text == "This question is not open any more."
    assert (await _stored(workshop, "QUVEX")).status == "pending"


async def test_confirming_in_writing(asked, workshop):
    """/confirm with a number files that payment, a second time it is known, and the rest is named."""
    number = (await _stored(workshop, "QUVEX")).id
    seen = await asked.says(f"/confirm #{number}")
    assert seen.text.startswith("✅ QUVEX TROMBAL 0231: ")
    assert seen.text.endswith("1 payment still waits for you: /pending")
    assert f"#{number}: I have no question" in (await asked.says(f"/confirm {number}")).text
    seen = await asked.says("/confirm all")
    assert "✅ ZEMBAX LOMTRU: " in seen.text
    assert seen.text.endswith("Nothing else waits for you.")


async def test_correcting_in_writing(asked, workshop):
    """/correct takes a number and a category however it is written, for open questions and for filed payments."""
    number = (await _stored(workshop, "ZEMBAX")).id
    assert (await asked.says(f"/correct {number} edu")).text.startswith("✅ ZEMBAX LOMTRU: Education")
    assert (await asked.says(f"/correct {number}: health")).text.startswith("✅ ZEMBAX LOMTRU: Health")
    assert (await _stored(workshop, "ZEMBAX")).category == "Health"
    seen = await asked.says(f"/correct {number} helth")
    assert "There is no category “helth”. Did you mean Health?" in seen.text
    assert "Groceries, Restaurants" in seen.text


async def test_somebody_elses_payment_cannot_be_corrected(asked, internet, workshop):
    """The number of another person's payment looks like one that does not exist."""
    number = (await _stored(workshop, "ZEMBAX")).id
    stranger = Person(internet.account(8, "Eve"))
    await stranger.says("/start")
    assert f"I know no payment #{number} of yours" in (await stranger.says(f"/correct {number} Health")).text
    assert (await _stored(workshop, "ZEMBAX")).status == "pending"


async def test_a_button_from_another_time_is_explained(bot, person):
    """Data that no handler knows any more gets a helpful answer instead of an endless clock."""
    seen = await person.says("/start")
    person.account.press(seen, "old|data|of|a|former|version")
    assert "from an older time" in (await person.sees("toast")).text
