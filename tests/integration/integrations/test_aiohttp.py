"""A trace goes from an aiohttp client through an aiohttp server, over a real socket."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from botmetry import LogSettings, Telemetry
from botmetry.integrations import aiohttp_client, aiohttp_server


@pytest.fixture(name="shop")
async def _shop(telemetry):
    """Run a web shop that is observed; yield its address and the undo."""

    async def order(request):
        telemetry.log.info("shop.ordered", number=request.match_info["number"])
        if request.match_info["number"] == "0":
            raise web.HTTPNotFound
        return web.json_response({"traceparent": request.headers.get("traceparent")})

    app = web.Application()
    app.router.add_get("/orders/{number}", order)
    undo = aiohttp_server.instrument(app, telemetry)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{site.port}", undo
    await runner.cleanup()


@pytest.fixture(name="session")
async def _session(telemetry):
    async with aiohttp.ClientSession() as session:
        aiohttp_client.instrument(session, telemetry)
        yield session


async def get(session, url, **headers):
    async with session.get(url, headers=headers) as response:
        return (await response.json())["traceparent"] if response.status == 200 else response.status


async def test_both_sides_share_a_trace(shop, session, telemetry, log_lines):
    """What the server logs belongs to the trace of the client's operation; the user's id stays at home."""
    url, _ = shop
    with telemetry.bot.command("order"), telemetry.context(user_id=7):
        await get(session, url + "/orders/1")

    (served,) = log_lines("shop.ordered")
    (sent,) = log_lines("bot.request_handled")
    assert served["trace_id"] == sent["trace_id"]
    assert served["span_id"] != sent["span_id"]
    assert "user_id" not in served


async def test_a_request_without_a_trace_begins_one(shop, session, log_lines):
    """Every request has a trace, each its own, when the caller sends none."""
    url, _ = shop
    assert await get(session, url + "/orders/1") is None
    await get(session, url + "/orders/2")

    assert len({line["trace_id"] for line in log_lines("shop.ordered")}) == 2


async def test_a_given_trace_is_left_alone(shop, session, telemetry):
    """A request that has a `traceparent` keeps it."""
    url, _ = shop
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with telemetry.bot.command("order"):
        assert await get(session, url + "/orders/1", traceparent=given) == given


async def test_an_unreadable_trace_does_no_harm(shop, session, log_lines):
    """A `traceparent` that makes no sense begins a new trace."""
    url, _ = shop
    await get(session, url + "/orders/1", traceparent="00-nonsense")

    (line,) = log_lines("shop.ordered")
    assert len(line["trace_id"]) == 32


async def test_both_can_be_taken_back(shop, session, telemetry, log_lines):
    """After the undo nothing is sent and nothing is traced; instrumenting twice is doing it once."""
    url, undo_server = shop
    undo_client = aiohttp_client.instrument(session, telemetry)
    undo_client()
    undo_client()
    undo_server()
    undo_server()
    with telemetry.bot.command("order"):
        assert await get(session, url + "/orders/1") is None

    assert log_lines("shop.ordered")[0].get("trace_id") is None


async def test_a_session_that_shares_its_hooks_is_left_alone(shop, telemetry):
    """Only the session that was given sends the trace, also when another one has the same list of hooks."""
    url, _ = shop
    hooks = [aiohttp.TraceConfig()]
    async with (
        aiohttp.ClientSession(trace_configs=hooks) as one,
        aiohttp.ClientSession(trace_configs=hooks) as other,
    ):
        aiohttp_client.instrument(one, telemetry)
        with telemetry.bot.command("order"):
            assert await get(one, url + "/orders/1")
            assert await get(other, url + "/orders/1") is None


async def test_spans_are_named_after_routes():
    """Exported spans are named after routes, not addresses; a page that is not there is no error."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = Telemetry("shop-bot", log=LogSettings(output="none"), tracer_provider=provider)
    app = web.Application()
    app.router.add_get("/orders/{number}", _broken)
    aiohttp_server.instrument(app, telemetry)
    assert aiohttp_server.instrument(app, telemetry)
    assert len(app.middlewares) == 1
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession() as session:
        assert await get(session, f"http://127.0.0.1:{site.port}/orders/1") == 500
        assert await get(session, f"http://127.0.0.1:{site.port}/unheard-of") == 404
    await runner.cleanup()

    spans = {span.name: span.attributes["outcome"] for span in exporter.get_finished_spans()}
    assert spans == {"http GET /orders/{number}": "error", "http unknown": "ok"}


@pytest.mark.parametrize("integration", [aiohttp_client, aiohttp_server])
def test_a_wrong_target_is_refused(integration, telemetry):
    """Anything else is an error that says what was given."""
    with pytest.raises(TypeError, match="object"):
        integration.instrument(object(), telemetry)


async def _broken(_):
    raise ValueError("out of order")
