"""What a language model would know of a shop by its name: words that point to a category, and how sure they make it."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass

# How much one word counts. Brands and words with one meaning decide alone; weaker ones need company.
_STRONG, _WEAK = 2.4, 1.0

_STRONG_WORDS = {
    "Groceries": "bakery backstube baeckerei supermarket supermarkt grocery hofladen lidl aldi rewe edeka netto penny",
    "Restaurants": "restaurant ristorante trattoria pizzeria cafe sushi bistro imbiss mcdonalds starbucks burger kebab",
    "Transport": "taxi parking parkhaus shell aral uber bahn vertrieb bvg mvg tankstelle fuel bolt",
    "Travel": "hotel hostel pension ryanair lufthansa booking airbnb flight airlines reisebuero",
    "Shopping": "books buchhandlung shoes schuhhaus ikea zalando amazon boutique fashion electronics media",
    "Entertainment": "cinema kino concert theater tickets jazzclub museum bowling steam arcade",
    "Subscriptions": "netflix spotify subscription abo disney icloud audible membership streaming",
    "Utilities": "stadtwerke strom electricity vodafone telekom vattenfall internet wasserwerk telefonica gas",
    "Housing": "miete rent hausverwaltung wohnungsbau landlord",
    "Health": "pharmacy apotheke dentist zahnarzt arztpraxis clinic drogerie rossmann optiker physiotherapie",
    "Insurance": "insurance versicherung allianz huk axa krankenkasse",
    "Education": "course sprachkurs volkshochschule university school tuition akademie",
    "Donations": "donation spende charity tierheim unicef",
    "Cash": "atm geldautomat bargeldauszahlung withdrawal",
    "Fees": "fee fees kontogebuehr entgelt",
    "Taxes": "finanzamt tax steuer",
    "Transfers": "transfer ueberweisung dauerauftrag",
    "Income": "salary gehalt payroll lohn refund",
}
_WEAK_WORDS = {
    "Groceries": "bio market frische farm food",
    "Restaurants": "bar kitchen grill coffee zimt nino",
    "Transport": "auto mobil car",
    "Travel": "seeblick travel tours",
    "Shopping": "shop store haus mode",
    "Entertainment": "club games fun capitol",
    "Health": "dr med vital",
    "Education": "buch lern",
    "Utilities": "energie netz",
}
KNOWN_CATEGORIES = (*_STRONG_WORDS, "Other")
"""Every category that the model has an idea of."""

_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Judgement:
    """A category with the probability that it is right."""

    category: str
    confidence: float
    """0 to 1."""


def judge(description: str, offered: Collection[str]) -> Judgement:
    """Return the best offered category; the confidence grows with the evidence and shrinks with contradiction.

    The evidence of a category is the sum over its words, and the probability a softmax over the categories with a
    little mass left for "none of them": one strong word gives more than 0.9, one weak word about 0.7, no word 0.3.

    Args:
        description: What the bank wrote.
        offered: The categories that may be answered; `Other` is answered when nothing speaks for any.
    """
    words = set(_WORD.findall(description.lower()))
    evidence = {name: _weigh(words, name) for name in offered if name in _STRONG_WORDS}
    spoken = {name: weight for name, weight in evidence.items() if weight > 0}
    if not spoken:
        fallback = "Other" if "Other" in offered else next(iter(offered), "Other")
        return Judgement(fallback, 0.3)
    best = max(spoken, key=lambda name: (spoken[name], name))
    scale = 1.6  # chosen so that one strong word alone passes a usual threshold of 0.85 and one weak word does not
    doubt = 0.6 + sum(math.exp(weight * scale) - 1 for name, weight in spoken.items() if name != best)
    strength = math.exp(spoken[best] * scale) - 1
    return Judgement(best, round(min(0.98, strength / (strength + doubt + 1)), 4))


def _weigh(words: set[str], category: str) -> float:
    strong = len(words & set(_STRONG_WORDS[category].split()))
    weak = len(words & set(_WEAK_WORDS.get(category, "").split()))
    return strong * _STRONG + weak * _WEAK
