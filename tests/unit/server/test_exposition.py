"""Rendering happens beside the event loop, once for all who wait."""

from __future__ import annotations

import asyncio
import gzip
import threading

import pytest

from botmetry.server.exposition import Exposition, Page, count_series
from botmetry.server.negotiation import Format

TEXT = Page(Format.TEXT, frozenset(), compressed=False)


@pytest.fixture
async def exposition(source):
    made = Exposition(source)
    yield made
    source.registry.go_on.set()
    await made.aclose(1.0)


async def test_rendering_leaves_the_event_loop_alone(exposition, source):
    """The registry is rendered in another thread."""
    await exposition.render(TEXT)

    assert source.registry.threads
    assert threading.get_ident() not in source.registry.threads


async def test_what_is_read_at_scrape_time_is_refreshed_first(exposition, source):
    """Every rendering is preceded by one refresh."""
    await exposition.render(TEXT)
    await exposition.render(TEXT)

    assert source.refreshes == 2


async def test_a_failing_refresh_costs_only_what_it_refreshes(exposition, source):
    """When the refresh raises, the rest is rendered and the failure is counted."""
    source.refresh_error = ConnectionError("no Redis")

    assert await exposition.render(TEXT)
    assert [component for component, _ in source.errors] == ["server.refresh"]


async def test_simultaneous_scrapes_are_rendered_once(exposition, source, eventually):
    """Scrapes that arrive while one is being rendered, plain or gzip, get the same rendering."""
    source.registry.go_on.clear()
    scrapes = [
        asyncio.create_task(exposition.render(page))
        for page in (TEXT, TEXT._replace(compressed=True), TEXT, TEXT._replace(compressed=True))
    ]
    await eventually(lambda: source.registry.renderings == 1)
    source.registry.go_on.set()
    bodies = await asyncio.gather(*scrapes)

    assert source.registry.renderings == 1
    assert bodies[0] == bodies[2] == gzip.decompress(bodies[1]) == gzip.decompress(bodies[3])


async def test_the_formats_are_rendered_apart(exposition, source):
    """Each format and each choice of names is its own page."""
    openmetrics = await exposition.render(TEXT._replace(format=Format.OPENMETRICS))
    chosen = await exposition.render(TEXT._replace(names=frozenset({"other", "absent"})))

    assert openmetrics.startswith(b"# openmetrics=True")
    assert chosen == b"# other\nother 2\n"
    assert source.registry.renderings == 2


async def test_an_error_of_the_registry_reaches_the_request(exposition, source):
    """A collector that raises fails the scrape that asked, and the next one is tried anew."""
    source.registry.error = ValueError("broken collector")
    with pytest.raises(ValueError, match="broken collector"):
        await exposition.render(TEXT)
    source.registry.error = None

    assert await exposition.render(TEXT)


async def test_closing_does_not_wait_for_ever(source, eventually):
    """A collector that hangs holds the closing up no longer than the time it is given; the scrape is cancelled."""
    exposition = Exposition(source)
    source.registry.go_on.clear()
    scrape = asyncio.create_task(exposition.render(TEXT))
    await eventually(lambda: source.registry.renderings == 1)
    await exposition.aclose(0.02)
    source.registry.go_on.set()

    assert isinstance((await asyncio.gather(scrape, return_exceptions=True))[0], asyncio.CancelledError)


async def test_series_are_counted():
    """Comments and empty lines are no series."""
    assert count_series(b'# HELP a A.\n# TYPE a counter\na_total{x="#"} 1.0\n\nb 2.0\n') == 2
