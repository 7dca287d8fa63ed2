"""The page at / says what is here and brings nothing else in."""

from __future__ import annotations

import re

from botmetry.server.landing import landing_page


def test_it_says_what_is_here():
    """The page shows service, version, number of series, the checks and the links."""
    page = landing_page("shop-bot", "1.2.3", 1234, ["database", "redis"])

    for part in ("shop-bot 1.2.3", "1,234 series", "database, redis", 'href="/metrics"', 'href="/readyz"'):
        assert part in page


def test_it_needs_nothing_from_elsewhere():
    """No external resource is loaded and no script runs."""
    page = landing_page("shop-bot", "", 0, [])

    assert not re.search(r"src=|<script|<link|@import|url\(|https?://", page)


def test_names_are_escaped():
    """A version or check name cannot add markup."""
    page = landing_page("bot", "<b>1</b>", 0, ["<i>x</i>"])

    assert "<b>" not in page
    assert "<i>" not in page
