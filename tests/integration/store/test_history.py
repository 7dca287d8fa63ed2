"""What was done and decided can be asked for, and judges the confidences."""

from datetime import UTC, datetime, timedelta

import pytest

EVER = datetime(2020, 1, 1, tzinfo=UTC)


async def test_the_audit_log_tells_the_story_of_a_thing(store):
    """By user the latest comes first, by thing the oldest, and details come back as they were."""
    await store.audit.record(1, "category.predicted", "transaction", 7, {"confidence": 0.5, "evidence": "Ä"})
    await store.audit.record(1, "category.corrected", "transaction", 7)
    await store.audit.record(2, "statement.imported", "statement", 7)

    assert [entry.action for entry in await store.audit.of_user(1)] == [
        "category.corrected",
        "category.predicted",
    ]
    story = await store.audit.of_entity("transaction", 7)
    assert [entry.details for entry in story] == [{"confidence": 0.5, "evidence": "Ä"}, {}]


async def test_old_audit_entries_can_be_forgotten(store):
    """Only what is older than the instant goes."""
    await store.audit.record(1, "a", "b", 1)
    later = datetime.now(UTC) + timedelta(minutes=1)

    assert await store.audit.forget_before(EVER) == 0
    assert await store.audit.forget_before(later) == 1
    assert await store.audit.of_user(1) == []


async def test_decisions_judge_the_confidences(store, bought):
    """Accuracy compares how sure a method was with how often it was right; expiry judges nothing."""
    (stored,) = await store.transactions.add_many([bought(1)])
    for confidence, decided, outcome in (
        (0.9, "Groceries", "confirmed"),
        (0.7, "Health", "corrected"),
        (0.5, None, "expired"),
    ):
        await store.decisions.record(
            1,
            stored.id,
            predicted="Groceries",
            decided=decided,
            confidence=confidence,
            method="fuzzy",
            outcome=outcome,
        )

    (accuracy,) = await store.decisions.accuracy(EVER)

    assert accuracy[:3] == ("fuzzy", 2, 1)
    assert accuracy.mean_confidence == pytest.approx(0.8)
    assert accuracy.brier_score == pytest.approx((0.1**2 + 0.7**2) / 2)
    assert [decision.outcome for decision in await store.decisions.of_user(1)] == [
        "expired",
        "corrected",
        "confirmed",
    ]


async def test_imports_are_remembered_with_their_outcome(store):
    """A run whose process died is closed as abandoned, and one that ended stays as it ended."""
    finished = await store.sync_runs.begin(1, "csv", "a.csv")
    await store.sync_runs.finish(finished, "ok", 10, 8, 2)
    await store.sync_runs.begin(1, "ofx", "b.ofx")

    assert await store.sync_runs.abandon_started_before(datetime.now(UTC) + timedelta(minutes=1)) == 1
    assert [(run.file_name, run.outcome, run.added) for run in await store.sync_runs.recent(1)] == [
        ("b.ofx", "abandoned", 0),
        ("a.csv", "ok", 8),
    ]


async def test_users_are_remembered_as_they_are_now(store):
    """Name and chat follow the user; an import outside a chat changes neither."""
    await store.users.ensure(1, "Ada L.", 11)
    await store.users.ensure_known(1)
    await store.users.ensure_known(3)

    user = await store.users.get(1)
    assert (user.display_name, user.chat_id) == ("Ada L.", 11)
    assert (await store.users.get(3)).chat_id == 3
    assert await store.users.get(99) is None
    assert [user.id for user in await store.users.of_chat(11)] == [1]
    assert {user.id for user in await store.users.seen_since(EVER)} == {1, 2, 3}
