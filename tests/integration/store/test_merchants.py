"""What a user decided outweighs what everybody knows."""

import pytest

from midas.ai.evidence import mapping_confidence


async def test_reference_merchants_are_known_to_everybody(store):
    """The migrations bring merchants with how sure their category is."""
    known = await store.merchants.lookup(1, "LIDL")

    assert known == ("Groceries", 48, 1)
    assert known == await store.merchants.lookup(2, "LIDL")
    assert await store.merchants.lookup(1, "NOBODY KNOWS") is None


async def test_a_decision_is_remembered_for_its_user_only(store):
    """Teaching a new merchant makes it known to the teacher."""
    await store.merchants.teach(1, "CAFE LUISE", "Restaurants")

    assert await store.merchants.lookup(1, "CAFE LUISE") == ("Restaurants", 1, 0)
    assert await store.merchants.lookup(2, "CAFE LUISE") is None


async def test_agreeing_with_the_reference_adds_up(store):
    """A confirmation makes a known merchant surer and never less sure."""
    before = await store.merchants.lookup(1, "LIDL")
    await store.merchants.teach(1, "LIDL", "Groceries")
    after = await store.merchants.lookup(1, "LIDL")

    assert after == ("Groceries", 49, 1)
    assert mapping_confidence(*after[1:]) > mapping_confidence(*before[1:])


async def test_disagreeing_with_the_reference_replaces_it(store):
    """A user's word about their own purchases counts at once, and only that counts then."""
    await store.merchants.teach(1, "LIDL", "Transport")

    assert await store.merchants.lookup(1, "LIDL") == ("Transport", 1, 0)


async def test_the_category_decided_most_often_is_believed_and_the_others_are_doubts(store):
    """Evidence is counted by category, and the latest wins a tie."""
    for category in ("Groceries", "Shopping"):
        await store.merchants.teach(1, "LIDL", category)
    assert await store.merchants.lookup(1, "LIDL") == ("Shopping", 1, 1)

    for _ in range(2):
        await store.merchants.teach(1, "LIDL", "Groceries")
    assert await store.merchants.lookup(1, "LIDL") == ("Groceries", 3, 1)


async def test_every_merchant_is_a_candidate_once_as_the_user_sees_it(store):
    """Candidates hold the user's view of a merchant, else the general one, with the share of agreement."""
    for category in ("Transport", "Transport", "Transport", "Fees"):
        await store.merchants.teach(1, "LIDL", category)
    await store.merchants.teach(1, "CAFE LUISE", "Restaurants")

    mine = {candidate.merchant: candidate for candidate in await store.merchants.candidates(1)}
    others = {candidate.merchant: candidate for candidate in await store.merchants.candidates(2)}

    assert len(mine) == len(others) + 1 > 1000
    assert mine["LIDL"] == ("LIDL", "Transport", 0.75)
    assert mine["CAFE LUISE"] == ("CAFE LUISE", "Restaurants", 1.0)
    assert others["LIDL"][:2] == ("LIDL", "Groceries")
    assert others["LIDL"].weight == pytest.approx(48 / 49)
