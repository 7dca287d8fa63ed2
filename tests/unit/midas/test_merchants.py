"""The merchant is found in what banks write."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas.domain.categories import CATEGORIES
from midas.domain.merchants import UNKNOWN, crypto_card_provider, normalise

REFERENCE = Path(__file__).parents[3] / "migrations" / "002_add_reference_data.sql"


@pytest.mark.parametrize(
    ("description", "merchant"),
    [
        ("LIDL SAGT DANKE//BERLIN/DE 2026-11-03T12:45 KARTE 1234", "LIDL"),
        ("LIDL 1234 BERLIN", "LIDL"),
        ("REWE Markt GmbH-Zweigniederlassung 1234 Köln", "REWE"),
        ("Kartenzahlung EDEKA MÜLLER 04.11. 12:33 Debitk. 1", "EDEKA MUELLER"),
        ("PAYPAL *SPOTIFY AB 35314369001", "SPOTIFY"),
        ("PayPal (Europe) S.a.r.l. | PP.5871.PP . NETFLIX.COM, Ihr Einkauf bei NETFLIX.COM", "NETFLIX"),
        ("SUMUP *CAFE LUISE BERLIN", "CAFE LUISE"),
        ("SQ *THE COFFEE LAB London GB", "THE COFFEE LAB"),
        ("AMAZON.DE*T12345", "AMAZON"),
        ("AMZN Mktp DE*2K3AB4 800-279-6620 LU", "AMZN MKTP"),
        ("VISA DEBITKARTENUMSATZ VOM 03.11. SHELL 1234", "SHELL"),
        ("POS 1234 ALDI SUED FIL. 12 MUENCHEN", "ALDI SUED"),
        ("REWE 6933 WIEN KARTE **** 8419", "REWE"),
        ("IKEA Deutschland GmbH & Co. KG", "IKEA"),
        ("Klarna*ZALANDO", "ZALANDO"),
        ("BURGER KING #1234", "BURGER KING"),
        ("7-ELEVEN 0423 COPENHAGEN DK", "7-ELEVEN"),
        ("H&M 0123 Berlin", "H&M"),
        ("Vattenfall Europe Sales GmbH | Abschlag Strom Kd-Nr 123456", "VATTENFALL"),
        ("EREF+123 MREF+55 SVWZ+Miete November", "MIETE"),
        (" | Miete", "MIETE"),
        ("BERLIN", "BERLIN"),
        ("", UNKNOWN),
        ("****", UNKNOWN),
    ],
)
def test_branch_city_card_and_provider_are_dropped(description, merchant):
    """Every branch, card and month of one merchant gives the same name."""
    assert normalise(description) == merchant


@given(st.text(max_size=120))
def test_normalising_is_idempotent_and_never_empty(description):
    """The name of a name is itself; it is short, printable, and there is always one."""
    merchant = normalise(description)

    assert normalise(merchant) == merchant
    assert 0 < len(merchant) <= 80
    assert merchant.isascii()
    assert merchant.isprintable()


WORDS = st.sampled_from(
    """
    LIDL REWE Müller GmbH & Co. KG PAYPAL * SUMUP // DE Berlin 1234 #12 **** XX12 03.11. 2026-11-03 | Ihr Einkauf bei
    SVWZ+ EREF+1 www.a.de a.com S.A. e.V. Karte nr. POS EC VISA KARTE : / . , ' SAGT DANKE MARKT 12:30 Uhr NOVEMBER
    """.strip().split()
)


@given(st.lists(WORDS, max_size=12).map(" ".join))
def test_normalising_is_idempotent_on_what_banks_write(description):
    """It holds for texts made of the words that are dropped, too."""
    assert normalise(normalise(description)) == normalise(description)


def test_reference_merchants_are_written_as_they_are_looked_up():
    """A reference merchant that is not its own normal form would never be found."""
    sql = REFERENCE.read_text(encoding="utf-8")
    groups = re.findall(
        r"SELECT merchant, '(\w+)', \d+, \d+ FROM unnest\(ARRAY \[(.*?)\n\]\)", sql, re.DOTALL
    )
    names = [
        name.replace("''", "'") for _, group in groups for name in re.findall(r"'((?:[^']|'')*)'", group)
    ]

    assert [name for name in names if normalise(name) != name] == []
    assert len(names) == len(set(names)) > 1000
    assert {category for category, _ in groups} <= set(CATEGORIES)


@pytest.mark.parametrize(
    ("description", "provider"),
    [
        ("CRYPTO.COM VISA TOP UP", "crypto_com"),
        ("Binance Card 1234", "binance"),
        ("LIDL BERLIN", None),
        ("KRAKENHAUS GMBH", None),
    ],
)
def test_crypto_cards_are_recognised(description, provider):
    """Providers come from a closed list, because they become a label."""
    assert crypto_card_provider(description) == provider
