"""Confidence follows evidence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas.ai.evidence import fuzzy_confidence, mapping_confidence, stated_confidence, token_confidence

COUNTS = st.integers(0, 10_000)
RATIOS = st.floats(0.0, 1.0)
THRESHOLD = 0.85


@given(COUNTS, COUNTS)
def test_a_decision_moves_the_confidence_in_its_direction(confirmations, corrections):
    """A confirmation makes it surer, a correction less sure, and it stays a probability."""
    now = mapping_confidence(confirmations, corrections)

    assert 0.0 < now < 1.0
    assert (
        mapping_confidence(confirmations + 1, corrections)
        > now
        > mapping_confidence(confirmations, corrections + 1)
    )


def test_what_the_prior_was_chosen_for_holds():
    """At the default threshold one decision suffices, a contradiction asks again, six to one are enough."""
    assert mapping_confidence(1, 0) > THRESHOLD
    assert mapping_confidence(1, 1) < THRESHOLD
    assert mapping_confidence(5, 1) < THRESHOLD < mapping_confidence(6, 1)


@given(RATIOS, RATIOS, RATIOS, RATIOS)
def test_more_similarity_and_more_lead_make_a_match_surer(similarity, margin, weight, other):
    """Similarity, lead and the merchant's own purity never make a match less sure."""
    now = fuzzy_confidence(similarity, margin, weight)

    assert 0.0 <= now <= weight
    assert fuzzy_confidence(max(similarity, other), margin, weight) >= now
    assert fuzzy_confidence(similarity, max(margin, other), weight) >= now
    assert fuzzy_confidence(similarity, margin, max(weight, other)) >= now


@given(st.lists(st.floats(-20.0, 0.0), min_size=1, max_size=5))
def test_token_probabilities_are_tempered_towards_doubt(logprobs):
    """A language model is believed less than it believes itself, and a longer answer never more."""
    confidence = token_confidence(logprobs)

    assert 0.0 < confidence < 1.0
    assert token_confidence([*logprobs, -1.0]) <= confidence


@given(RATIOS)
def test_stated_confidence_is_pulled_to_the_middle(stated):
    """What a model says about itself counts for less than it says, on both sides of one half."""
    confidence = stated_confidence(stated)

    assert 0.0 < confidence < 1.0
    assert abs(confidence - 0.5) <= abs(stated - 0.5) + 1e-9


@pytest.mark.parametrize("stated", [0.8, 0.9, 0.95])
def test_what_a_model_says_about_itself_alone_does_not_decide(stated):
    """Below near certainty, a stated confidence always asks the user."""
    assert stated_confidence(stated) < THRESHOLD
