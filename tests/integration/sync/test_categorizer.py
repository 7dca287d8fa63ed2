"""Mapping, then resemblance, then the language model; each with the confidence of its evidence."""

import json
from decimal import Decimal

import pytest

from midas.ai import TASK, Categorizer
from midas.ai.evidence import mapping_confidence

SPENT = Decimal("-12.50")


@pytest.fixture(name="with_model")
def _with_model(store, model, telemetry):
    return Categorizer(store.merchants, model, telemetry)


async def test_a_known_merchant_needs_nobody_else(with_model, model_server, sample):
    """The reference answers for LIDL, the language model is not asked, and the confidence is observed once."""
    prediction = await with_model.categorize(1, "LIDL SAGT DANKE//BERLIN", SPENT)

    assert (prediction.category, prediction.method, prediction.model) == ("Groceries", "mapping", "none")
    assert prediction.confidence == mapping_confidence(48, 1)
    assert model_server.requests == []
    assert sample("ai_requests_total", task=TASK, model="rules", outcome="ok") == 1
    assert sample("ai_confidence_ratio_count", task=TASK) == 1


async def test_what_the_user_taught_comes_first(store, categorizer):
    """One decision of the user outweighs the reference, for this user."""
    await store.users.ensure(1, "Ada", 1)
    await store.merchants.teach(1, "LIDL", "Transport")

    assert (await categorizer.categorize(1, "LIDL", SPENT)).category == "Transport"
    assert (await categorizer.categorize(2, "LIDL", SPENT)).category == "Groceries"


async def test_a_resemblance_is_given_with_its_evidence(categorizer):
    """A misspelt merchant is found, surely, and the evidence says how."""
    prediction = await categorizer.categorize(1, "ROSMANN 1234", SPENT)

    assert (prediction.category, prediction.method) == ("Health", "fuzzy")
    assert 0.85 < prediction.confidence < mapping_confidence(48, 1)
    assert "resembles ROSSMANN" in prediction.evidence


async def test_what_a_payment_is_for_counts_when_its_receiver_is_unknown(categorizer):
    """A landlord's name says nothing, the purpose says it all."""
    prediction = await categorizer.categorize(1, "Hans Meierhuber | Miete Hauptstrasse", Decimal(-800))

    assert (prediction.category, prediction.method) == ("Housing", "mapping")


async def test_income_that_is_spent_is_doubted(categorizer):
    """A salary that leaves the account is not as sure as one that arrives."""
    earned = await categorizer.categorize(1, "GEHALT", Decimal(2500))
    spent = await categorizer.categorize(1, "GEHALT", Decimal(-2500))

    assert (earned.category, spent.category) == ("Income", "Income")
    assert spent.confidence == earned.confidence / 2


@pytest.mark.parametrize("description", ["XQZJ WVK", "", "****"])
async def test_a_stranger_is_not_guessed_at(categorizer, description):
    """Without any evidence the answer is Other with confidence 0."""
    prediction = await categorizer.categorize(1, description, SPENT)

    assert (prediction.category, prediction.confidence, prediction.method) == ("Other", 0.0, "none")


async def test_a_stranger_is_put_to_the_language_model(with_model, sample):
    """Only the final answer's confidence is observed."""
    prediction = await with_model.categorize(1, "XQZJ WVK", SPENT)

    assert (prediction.category, prediction.method, prediction.model) == (
        "Entertainment",
        "llm",
        "deepseek-chat",
    )
    assert sample("ai_requests_total", task=TASK, model="deepseek-chat", outcome="ok") == 1
    assert sample("ai_confidence_ratio_count", task=TASK) == 1


async def test_the_surer_of_two_answers_is_given(with_model, model_server):
    """A language model that doubts does not replace a resemblance that is likelier."""
    model_server.content = json.dumps({"category": "Travel", "confidence": 0.3})
    prediction = await with_model.categorize(1, "AMAZON MARKETPLATZ", SPENT)

    assert (prediction.category, prediction.method) == ("Shopping", "fuzzy")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [((500, ""), "unavailable"), ((401, ""), "unavailable"), ((200, "I think Travel"), "bad_answer")],
    ids=["down", "refused", "nonsense"],
)
async def test_a_model_that_fails_gives_other(with_model, model_server, sample, answer, reason):
    """AI down or talking nonsense: Other with confidence 0, counted with its reason, and no error for anybody."""
    model_server.status, model_server.content = answer

    prediction = await with_model.categorize(1, "XQZJ WVK", SPENT)

    assert (prediction.category, prediction.confidence, prediction.method) == ("Other", 0.0, "none")
    assert sample("ai_fallbacks_total", task=TASK, reason=reason) == 1
    assert sample("ai_requests_total", task=TASK, model="deepseek-chat", outcome="error") == 1


async def test_a_model_that_is_too_slow_gives_uncategorized(store, model, telemetry, sample, silence):
    """A timeout leaves the transaction for another time."""
    model._timeout = 0.2
    prediction = await Categorizer(store.merchants, model, telemetry).categorize(1, "XQZJ WVK", SPENT)

    assert (prediction.category, prediction.confidence) == ("Uncategorized", 0.0)
    assert sample("ai_fallbacks_total", task=TASK, reason="timeout") == 1
    assert sample("ai_requests_total", task=TASK, model="deepseek-chat", outcome="timeout") == 1


async def test_a_likely_resemblance_survives_a_failing_model(with_model, model_server):
    """More likely right than wrong is better than Other."""
    model_server.status = 500

    prediction = await with_model.categorize(1, "AMAZON MARKETPLATZ", SPENT)

    assert (prediction.category, prediction.method) == ("Shopping", "fuzzy")
