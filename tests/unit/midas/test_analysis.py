"""Robust statistics say what a household's payments add up to."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas.ai.analysis import analyze_spending, budget_recommendation, find_anomalies
from midas.ai.robust import slope, spread
from midas.domain import Transaction

START = datetime(2026, 1, 1, tzinfo=UTC)
IDS = count(1)


def paid(amount, day=0, merchant="LIDL", category="Groceries", currency="EUR"):
    return Transaction(
        id=next(IDS),
        user_id=1,
        occurred_at=START + timedelta(days=day),
        amount=-Decimal(str(amount)),
        currency=currency,
        description=merchant,
        merchant=merchant,
        category=category,
        confidence=1.0,
        status="confirmed",
    )


@given(st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=50), st.integers(-(10**6), 10**6))
def test_the_spread_does_not_depend_on_where_the_values_lie(values, shift):
    """Moving all values does not change their spread, and it is 0 only when all are equal."""
    moved = spread([value + shift for value in values])

    assert moved == pytest.approx(spread(values))
    assert (spread(values) == 0.0) == (len(set(values)) == 1)


def test_one_strange_value_moves_neither_spread_nor_slope():
    """That is what robust means."""
    assert spread([10.0, 11.0, 12.0, 13.0, 1e9]) == spread([10.0, 11.0, 12.0, 13.0, 14.0])
    assert slope([1.0, 2.0, 3.0, 1e9, 5.0, 6.0, 7.0]) == pytest.approx(1.0, abs=0.5)


class TestSpending:
    def test_categories_add_up(self):
        """The sums of the categories are the whole, and their shares are 1."""
        rng = random.Random(1)
        payments = [
            paid(
                round(rng.uniform(1, 90), 2),
                rng.randrange(90),
                category=rng.choice(["Groceries", "Health", None]),
            )
            for _ in range(200)
        ]

        analysis = analyze_spending(payments)

        assert (
            sum(row.amount for row in analysis.categories)
            == analysis.spent
            == -sum(p.amount for p in payments)
        )
        assert sum(row.share for row in analysis.categories) == pytest.approx(1.0)
        assert {row.category for row in analysis.categories} == {"Groceries", "Health", "Uncategorized"}

    def test_the_largest_category_comes_first_with_its_usual_payment(self):
        """A reader sees first where most of the money went."""
        analysis = analyze_spending([paid(10), paid(12), paid(900), paid(50, category="Health")])

        assert [row.category for row in analysis.categories] == ["Groceries", "Health"]
        assert analysis.categories[0].median_payment == Decimal("12.00")

    def test_a_growing_category_shows_by_how_much(self):
        """The trend is what a week adds to the next, and one expensive week does not change it."""
        weeks = [10, 12, 14, 500, 18, 20, 22, 24]

        (row,) = analyze_spending(
            [paid(amount, 7 * week + 6) for week, amount in enumerate(weeks)] + [paid(0.01)]
        ).categories

        assert row.trend_a_week == Decimal("2.00")

    def test_transfers_and_other_currencies_are_left_out(self):
        """Money that changes pockets is not spent, and yen are not added to euros."""
        analysis = analyze_spending(
            [paid(10), paid(5), paid(99, category="Transfers"), paid(5000, currency="JPY")]
        )

        assert (analysis.currency, analysis.spent) == ("EUR", Decimal("15.00"))

    def test_nothing_is_nothing(self):
        """A user without transactions gets an empty analysis."""
        analysis = analyze_spending([])

        assert (analysis.spent, analysis.received, analysis.categories, analysis.start) == (0, 0, (), None)


class TestBudgets:
    NOW = START + timedelta(days=31 + 28 + 31 + 30 + 10)  # 11 May

    def test_the_budget_is_median_plus_spread_rounded_up(self):
        """300, 310, 290, 305 a month: the middle is 302.50, the spread 5 * 1.4826 = 7.41, so 310."""
        months = {0: 300, 31: 310, 59: 290, 90: 305}

        (budget,) = budget_recommendation([paid(amount, day) for day, amount in months.items()], self.NOW)

        assert (budget.median, budget.spread, budget.amount, budget.months) == (
            Decimal("302.50"),
            Decimal("7.41"),
            Decimal(310),
            4,
        )
        assert "302.50 EUR" in budget.explanation

    def test_the_month_that_is_not_over_does_not_count(self):
        """Half a month looks cheap, and one that has just begun looks free."""
        payments = [paid(100, day) for day in (0, 31, 59, 90)]

        assert budget_recommendation([*payments, paid(9000, 121)], self.NOW) == budget_recommendation(
            payments, self.NOW
        )

    def test_one_holiday_does_not_become_a_budget(self):
        """A single month with three times the money leaves the recommendation near the usual months."""
        payments = [paid(amount, day) for day, amount in {0: 200, 31: 210, 59: 205, 90: 900}.items()]

        (budget,) = budget_recommendation(payments, self.NOW)

        assert budget.amount < 230

    def test_a_month_without_a_payment_counts_as_nothing_spent(self):
        """A bill that came once in four months is laid aside for, not paid monthly."""
        (budget,) = budget_recommendation([paid(400, 1, category="Insurance")], self.NOW)

        assert (budget.median, budget.months) == (0, 4)
        assert budget.amount < 400

    def test_less_than_two_whole_months_say_nothing(self):
        """A recommendation from one month would be that month."""
        assert budget_recommendation([paid(100, 0)], START + timedelta(days=45)) == []
        assert budget_recommendation([], self.NOW) == []


class TestAnomalies:
    def test_a_payment_far_above_its_merchants_others_is_found_and_explained(self):
        """The explanation names amount, merchant, day and what is usual."""
        usual = [paid(20 + day % 5, day) for day in range(20)]
        strange = paid(250, 21)

        (anomaly,) = find_anomalies([*usual, strange])

        assert (anomaly.transaction_id, anomaly.usual, anomaly.compared_with) == (
            strange.id,
            Decimal("22.00"),
            "LIDL",
        )
        assert anomaly.explanation.startswith(
            "250.00 EUR at LIDL on 2026-01-22 is 11.4 times the usual 22.00 EUR"
        )

    def test_a_merchant_seen_rarely_is_compared_with_its_category(self):
        """A new shop is judged by what such shops cost."""
        usual = [paid(20 + day % 5, day, merchant=f"SHOP {day}") for day in range(20)]
        (anomaly,) = find_anomalies([*usual, paid(300, 21, merchant="NEW")])

        assert anomaly.compared_with == "Groceries"

    def test_a_subscription_that_became_dearer_is_found(self):
        """Where all payments were equal, any clear difference is strange; a few cents are not worth a word."""
        usual = [paid("9.99", 30 * month, "NETFLIX", "Subscriptions") for month in range(11)]

        assert len(find_anomalies([*usual, paid("13.99", 330, "NETFLIX", "Subscriptions")])) == 1
        assert find_anomalies([*usual, paid("10.19", 330, "NETFLIX", "Subscriptions")]) == []

    def test_ordinary_life_is_not_strange(self):
        """Among a thousand log-normal payments at most one in a hundred is called strange."""
        rng = random.Random(3)
        payments = [paid(round(rng.lognormvariate(3.0, 0.6), 2), rng.randrange(365)) for _ in range(1000)]

        assert len(find_anomalies(payments)) <= 10

    def test_few_payments_and_old_ones_are_not_judged(self):
        """With fewer than eight nobody knows what is usual, and old news is not told again."""
        assert find_anomalies([paid(10), paid(11), paid(9), paid(900)]) == []
        usual = [paid(20 + day % 5, day) for day in range(20)]
        assert find_anomalies([*usual, paid(250, 21)], since=START + timedelta(days=22)) == []
