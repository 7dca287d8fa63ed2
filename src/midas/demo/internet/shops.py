"""The shops of the small world, and what each of them really is: the truth that a person knows and a bot has to guess.

Three kinds: chains that everybody knows; small ones whose name tells what they are, which takes some understanding; and
obscure ones whose name tells nothing, which only the customer can explain.
"""

import random
from dataclasses import dataclass

__all__ = ["EMPLOYER", "KNOWN_SHOPS", "OBSCURE_SHOPS", "TELLING_SHOPS", "Shop", "true_category"]

OBSCURE_COUNT = 1500  # enough that one person hardly meets the same obscure name twice


@dataclass(frozen=True, slots=True)
class Shop:
    """A place where money goes."""

    name: str
    """As banks print it, in capital letters; at most 25, so that OFX (32) has room for a payment provider before it."""
    category: str
    low: float
    """The smallest usual price, in EUR."""
    high: float
    """The largest usual price, in EUR."""
    visits: int = 1
    """How often people go there, relative to the others."""
    online: bool = False
    small: bool = False
    """Takes cards through a small terminal's provider."""


KNOWN_SHOPS = (
    Shop("LIDL", "Groceries", 4, 90, 12),
    Shop("REWE", "Groceries", 4, 110, 12),
    Shop("ALDI SUED", "Groceries", 4, 80, 8),
    Shop("EDEKA", "Groceries", 5, 120, 9),
    Shop("NETTO MARKEN-DISCOUNT", "Groceries", 3, 60, 5),
    Shop("MCDONALDS", "Restaurants", 4, 30, 6),
    Shop("STARBUCKS", "Restaurants", 3, 15, 5),
    Shop("BURGER KING", "Restaurants", 5, 30, 3),
    Shop("DB VERTRIEB GMBH", "Transport", 9, 160, 5),
    Shop("UBER", "Transport", 6, 45, 4, online=True),
    Shop("SHELL", "Transport", 20, 95, 5),
    Shop("ARAL", "Transport", 20, 95, 4),
    Shop("RYANAIR", "Travel", 25, 300, 1, online=True),
    Shop("BOOKING.COM", "Travel", 60, 600, 2, online=True),
    Shop("AIRBNB", "Travel", 50, 700, 1, online=True),
    Shop("IKEA", "Shopping", 10, 400, 2),
    Shop("H&M", "Shopping", 8, 120, 3),
    Shop("ZALANDO", "Shopping", 20, 180, 4, online=True),
    Shop("MEDIA MARKT", "Shopping", 15, 900, 2),
    Shop("NETFLIX", "Subscriptions", 5, 20, 3, online=True),
    Shop("SPOTIFY", "Subscriptions", 6, 18, 3, online=True),
    Shop("VODAFONE", "Utilities", 15, 60, 2),
    Shop("TELEKOM DEUTSCHLAND", "Utilities", 20, 80, 2),
    Shop("VATTENFALL", "Utilities", 40, 160, 1),
    Shop("DM-DROGERIE MARKT", "Health", 4, 60, 6),
    Shop("ALLIANZ VERSICHERUNG", "Insurance", 15, 150, 1),
    Shop("HUK-COBURG", "Insurance", 15, 120, 1),
)

TELLING_SHOPS = (
    Shop("BACKSTUBE HOLLER BAKERY", "Groceries", 2, 18, small=True),
    Shop("BIO HOFLADEN FARM SHOP", "Groceries", 5, 50, small=True),
    Shop("TRATTORIA NINO RISTORANTE", "Restaurants", 15, 90, small=True),
    Shop("SUSHI HIKARI RESTAURANT", "Restaurants", 12, 80, small=True),
    Shop("CAFE ZIMT UND ZUCKER", "Restaurants", 3, 25, small=True),
    Shop("TAXI FUNK MITTE TAXI", "Transport", 8, 50, small=True),
    Shop("PARKHAUS THEATER PARKING", "Transport", 2, 30),
    Shop("PENSION SEEBLICK HOTEL", "Travel", 60, 300, small=True),
    Shop("BUCHHANDLUNG LESE BOOKS", "Shopping", 6, 60, small=True),
    Shop("SCHUHHAUS KELLER SHOES", "Shopping", 30, 160, small=True),
    Shop("KINO CAPITOL CINEMA", "Entertainment", 8, 35),
    Shop("JAZZCLUB NOTE TICKETS", "Entertainment", 12, 60, small=True),
    Shop("STADTWERKE NEUSTADT STROM", "Utilities", 40, 150),
    Shop("APOTHEKE MARKT PHARMACY", "Health", 4, 60),
    Shop("ZAHNARZT DR WEISS DENTIST", "Health", 30, 300),
    Shop("VHS SPRACHKURS COURSE", "Education", 40, 200),
    Shop("TIERHEIM SPENDE DONATION", "Donations", 5, 60),
    Shop("HAUSVERWALTUNG MIETE RENT", "Housing", 500, 1400),
    # These only hint at what they are: a guess that is right and not sure.
    Shop("BAR ZUM ANKER", "Restaurants", 8, 60, small=True),
    Shop("KITCHEN NEUN", "Restaurants", 10, 50, small=True),
    Shop("AUTO BRANDT", "Transport", 40, 400),
    Shop("MODE LINDE", "Shopping", 20, 150, small=True),
    Shop("CLUB KASTANIE", "Entertainment", 10, 70, small=True),
    Shop("VITAL OASE", "Health", 20, 90, small=True),
    Shop("FRISCHE INSEL", "Groceries", 5, 40, small=True),
)

EMPLOYER = Shop("NORDWIND SOFTWARE", "Income", 1800, 4200)

_SYLLABLES = (
    "VO", "QUI", "ZEM", "BAX", "TRU", "LOM", "NYX", "PEL", "DRA", "KOV", "WIZ", "FEN", "GUR", "HAL", "JOR", "MIR",
    "SYL", "TAV", "ULM", "YBO", "CEX", "RHU",
)  # fmt: skip
_OBSCURE_CATEGORIES = (
    "Shopping",
    "Restaurants",
    "Entertainment",
    "Health",
    "Groceries",
    "Transport",
    "Education",
)


def _obscure_shops() -> tuple[Shop, ...]:
    luck = random.Random("obscure")  # noqa: S311 - the same names in every run, so that a test can name one
    names: dict[str, None] = {}
    while len(names) < OBSCURE_COUNT:
        words = ("".join(luck.choices(_SYLLABLES, k=length)) for length in (3, 2))
        names[" ".join(words)] = None
    return tuple(
        Shop(name, luck.choice(_OBSCURE_CATEGORIES), 4, 120, small=luck.choice((True, False)))
        for name in names
    )


OBSCURE_SHOPS = _obscure_shops()
_ALL = (EMPLOYER, *KNOWN_SHOPS, *TELLING_SHOPS, *OBSCURE_SHOPS)


def true_category(text: str) -> str | None:
    """Return what the shop that a text speaks of last really is, or None when it speaks of none of ours."""
    capitals = text.upper()
    spoken_of = [shop for shop in _ALL if shop.name in capitals]
    if not spoken_of:
        return None
    last = max(spoken_of, key=lambda shop: (capitals.rfind(shop.name) + len(shop.name), len(shop.name)))
    return last.category
