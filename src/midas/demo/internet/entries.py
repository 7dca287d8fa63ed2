"""What people paid: entries of a bank account, drawn with a seed from shops that exist in this small world."""

import random
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from midas.demo.internet.shops import EMPLOYER, KNOWN_SHOPS, OBSCURE_SHOPS, TELLING_SHOPS, Shop

DAYS_COVERED = 100  # a statement reaches back about a quarter, so that there are whole months to budget with

_CITIES = ("BERLIN", "HAMBURG", "MUENCHEN", "KOELN", "LEIPZIG", "DRESDEN", "FRANKFURT", "STUTTGART", "WIEN")
_TELLING_SHARE = 0.12
_OBSCURE_SHARE = 0.08
_SALARY_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an account."""

    day: date
    amount: Decimal
    """Negative = spent."""
    counterparty: str
    """Who was paid, with the noise that banks add."""
    purpose: str
    """What the second column says; may be empty."""
    balance: Decimal = Decimal(0)
    """Of the account after this entry."""


def draw_entries(luck: random.Random, count: int, today: date, *, obscure: bool) -> list[Entry]:
    """Return entries of the last quarter, oldest first.

    Args:
        luck: Where every choice comes from.
        count: How many, 1 or more.
        today: The last possible day.
        obscure: Only shops that nobody knows, instead of the usual mixture.
    """
    days = sorted(today - timedelta(days=luck.randrange(DAYS_COVERED)) for _ in range(count))
    balance = Decimal(luck.randrange(50_000, 400_000)) / 100
    entries = []
    for day in days:
        amount, counterparty, purpose = _payment(luck, day, obscure=obscure)
        balance += amount
        entries.append(Entry(day, amount, counterparty, purpose, balance))
    return entries


def _payment(luck: random.Random, day: date, *, obscure: bool) -> tuple[Decimal, str, str]:
    dice = luck.random()
    if obscure or dice < _OBSCURE_SHARE:
        return _purchase(luck, luck.choice(OBSCURE_SHOPS), day)
    if dice < _OBSCURE_SHARE + _TELLING_SHARE:
        return _purchase(luck, luck.choice(TELLING_SHOPS), day)
    if dice > 1 - _SALARY_SHARE:
        salary = Decimal(luck.randrange(int(EMPLOYER.low * 100), int(EMPLOYER.high * 100))) / 100
        return salary, f"{EMPLOYER.name} GMBH", "GEHALT SALARY"
    shop = luck.choices(KNOWN_SHOPS, weights=[shop.visits for shop in KNOWN_SHOPS])[0]
    return _purchase(luck, shop, day)


def _purchase(luck: random.Random, shop: Shop, day: date) -> tuple[Decimal, str, str]:
    middle = (shop.low * shop.high) ** 0.5
    price = min(max(luck.lognormvariate(0.0, 0.4) * middle, shop.low), shop.high)
    return -Decimal(round(price * 100)) / 100, _noisy(luck, shop), _purpose(luck, day)


def _noisy(luck: random.Random, shop: Shop) -> str:
    if shop.online:
        return luck.choice((shop.name, f"PAYPAL *{shop.name}", f"{shop.name} {luck.randrange(10**6, 10**7)}"))
    city = luck.choice(_CITIES)
    branch = luck.randrange(100, 9999)
    return luck.choice(
        (
            f"{shop.name} {branch} {city}",
            f"{shop.name} SAGT DANKE//{city}/DE",
            f"{shop.name} {city}",
            f"SUMUP *{shop.name}" if shop.small else f"{shop.name} FIL. {branch} {city}",
        )
    )


def _purpose(luck: random.Random, day: date) -> str:
    card = f"{luck.randrange(1000, 9999)}"
    clock = f"{day:%Y-%m-%d}T{luck.randrange(8, 21):02d}:{luck.randrange(60):02d}"
    return luck.choice(("", f"KARTE **** {card}", clock))
