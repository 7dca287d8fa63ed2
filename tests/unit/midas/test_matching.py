"""A distorted name finds its merchant, and the confidence in that is calibrated."""

import random
import re
from pathlib import Path

import pytest

from midas.ai.evidence import fuzzy_confidence
from midas.ai.matching import SLICE, find_match, similarity
from midas.store.merchants import Candidate

REFERENCE = Path(__file__).parents[3] / "migrations" / "002_add_reference_data.sql"
GROUP = re.compile(r"SELECT merchant, '(\w+)', \d+, \d+ FROM unnest\(ARRAY \[(.*?)\n\]\)", re.DOTALL)
AROUND = [
    "NORD",
    "WEST",
    "CENTER",
    "CITY",
    "ONLINE",
    "EXPRESS",
    "AIRPORT",
    "PLAZA",
    "MUELLER",
    "SCHMIDT",
    "WEBER",
]


@pytest.fixture(name="reference", scope="module")
def _reference():
    """The merchants that the migrations bring, each worth its category entirely."""
    return [
        Candidate(name.replace("''", "'"), category, 1.0)
        for category, names in GROUP.findall(REFERENCE.read_text(encoding="utf-8"))
        for name in re.findall(r"'((?:[^']|'')*)'", names)
    ]


@pytest.mark.parametrize(
    ("name", "merchant"),
    [
        ("ROSMANN", "ROSSMANN"),
        ("EDEKA MUELLER", "EDEKA"),
        ("DEUTSCHEBAHN", "DEUTSCHE BAHN"),
        ("BUNDESAGENTUR FUER ARB", "BUNDESAGENTUR FUER ARBEIT"),
        ("UBER TRIP HELP.UBER", "UBER TRIP"),
        ("RESTAURANT ADRIA", "RESTAURANT"),
        ("SPOTIFYY", "SPOTIFY"),
    ],
)
async def test_a_distorted_name_finds_its_merchant(name, merchant, reference):
    """Lost letters, lost spaces, cut ends and words around it do not hide a merchant."""
    match = await find_match(name, reference)

    assert match.merchant == merchant


async def test_the_lead_is_measured_against_other_categories(reference):
    """ALDI TALK is a telephone company: a name between it and the supermarket is not sure."""
    match = await find_match("ALDI TALC", reference)

    assert match.margin < 0.2
    assert fuzzy_confidence(match.similarity, match.margin, 1.0) < (
        await confidence_of("ALDI SUED FILIALE", reference)
    )


async def test_nothing_is_found_among_nothing():
    """Without candidates there is no match."""
    assert await find_match("LIDL", []) is None


async def test_many_candidates_are_compared_in_slices_with_the_same_result(reference):
    """A user with thousands of own merchants gets the answer that one comparison would give."""
    many = [Candidate(f"MERCHANT {number:05}", "Other", 1.0) for number in range(3 * SLICE)]

    match = await find_match("ROSMANN", [*many, *reference])

    assert (match.merchant, match.category) == ("ROSSMANN", "Health")


def test_similarity_is_a_ratio_and_one_for_the_same():
    """Equal names are entirely similar, and nothing is more than that."""
    assert similarity("LIDL", "LIDL") == 1.0
    assert 0.0 <= similarity("LIDL", "BUNDESAGENTUR FUER ARBEIT") < 0.4


async def test_the_confidence_of_a_match_is_calibrated(reference):
    """Of matches given with a confidence, that share is right: the expected calibration error is below 0.06.

    Half of the names are distorted ones of known merchants, half are merchants that are missing from the list.
    """
    rng = random.Random(20261122)
    chosen = rng.sample(reference, 200)
    answers = []
    for merchant in chosen:
        answers.append(await judged(distort(merchant.merchant, rng), merchant, reference))
        rest = [candidate for candidate in reference if candidate.merchant != merchant.merchant]
        answers.append(await judged(merchant.merchant, merchant, rest))

    assert calibration_error(answers) < 0.06


async def judged(name, merchant, candidates):
    match = await find_match(name, candidates)
    return fuzzy_confidence(match.similarity, match.margin, match.weight), match.category == merchant.category


async def confidence_of(name, candidates):
    match = await find_match(name, candidates)
    return fuzzy_confidence(match.similarity, match.margin, match.weight)


def distort(name, rng):
    position = rng.randrange(1, len(name))
    return rng.choice(
        [
            name[:position] + name[position + 1 :],
            name[:position] + rng.choice("ABCDEFGHIKLMNOPRSTUVW") + name[position + 1 :],
            f"{name} {rng.choice(AROUND)}",
            f"{name} {rng.choice(AROUND)} {rng.choice(AROUND)}",
            f"{rng.choice(['CITY', 'THE', 'MY'])} {name}",
            name[: max(6, len(name) - 3)],
            name.replace(" ", ""),
        ]
    )


def calibration_error(answers, bins=5):
    """Weigh the difference between confidence and truth in each bin by its answers."""
    error = 0.0
    for number in range(bins):
        inside = [answer for answer in answers if number <= answer[0] * bins < number + 1]
        if inside:
            confidence = sum(answer[0] for answer in inside)
            truth = sum(answer[1] for answer in inside)
            error += abs(confidence - truth)
    return error / len(answers)
