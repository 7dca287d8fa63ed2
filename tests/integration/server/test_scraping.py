"""What a scraper gets."""

from __future__ import annotations

import asyncio
import gzip
import time
from http import HTTPMethod

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from botmetry.server.routes import Routes

from .conftest import HOLD_SECONDS

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


async def get(http, url, **headers):
    async with http.get(url, headers={"Accept-Encoding": "identity", **headers}) as response:
        return response.status, response.headers, await response.read()


async def test_both_formats_show_what_was_counted(http, serving, telemetry):
    """Text and OpenMetrics have their exact content type, parse with prometheus_client, and show the same."""
    with telemetry.bot.command("balance"):
        telemetry.bot.update("message")
    async with serving() as server:
        text_status, text_headers, text = await get(http, server.url + "/metrics")
        _, open_headers, openmetrics = await get(http, server.url + "/metrics", Accept=PROMETHEUS)

    assert (text_status, text_headers["Content-Type"]) == (200, TEXT)
    assert open_headers["Content-Type"] == OPENMETRICS
    assert text_headers["Vary"] == "Accept, Accept-Encoding"
    for parse, body in ((parse_text, text), (parse_openmetrics, openmetrics)):
        samples = {
            (sample.name, tuple(sample.labels.values())): sample.value
            for family in parse(body.decode())
            for sample in family.samples
        }
        assert samples["bot_requests_total", ("balance", "ok")] == 1
        assert samples["bot_updates_total", ("message",)] == 1


async def test_gzip_is_the_same_body_smaller(http, serving, telemetry):
    """A scraper that allows gzip gets the same exposition compressed."""
    counter = telemetry.counter("example_total", "An example.", ["number"])
    for number in range(100):
        counter.labels(str(number)).inc()
    async with serving() as server:
        url = server.url + "/metrics?name[]=example_total"
        _, _, plain = await get(http, url)
        _, headers, packed = await get(http, url, **{"Accept-Encoding": "gzip"})

    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 2


@pytest.mark.parametrize(("accept", "parse"), [("", parse_text), (PROMETHEUS, parse_openmetrics)])
async def test_names_choose_samples(http, serving, telemetry, accept, parse):
    """`?name[]=` shows the named samples only, of ours and of foreign collectors, in both formats."""
    telemetry.bot.update("message")
    names = {"bot_updates_total", "process_cpu_seconds_total"}
    async with serving() as server:
        url = server.url + "/metrics?" + "&".join(f"name[]={name}" for name in sorted(names))
        _, _, body = await get(http, url, Accept=accept)

    assert {sample.name for family in parse(body.decode()) for sample in family.samples} == names


async def test_head_has_headers_and_no_body(http, serving):
    """HEAD answers like GET without the body."""
    async with serving() as server, http.head(server.url + "/metrics") as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) > 1000
        assert await response.read() == b""


@pytest.mark.parametrize(
    "method", sorted(set(HTTPMethod) - {HTTPMethod.GET, HTTPMethod.HEAD, HTTPMethod.CONNECT})
)
async def test_other_methods_are_refused(http, serving, method):
    """Nothing but GET and HEAD is possible, and the answer says so."""
    async with serving() as server, http.request(method, server.url + "/metrics") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD"


async def test_there_is_nothing_elsewhere(http, serving):
    """Unknown paths are 404."""
    async with serving() as server:
        assert (await get(http, server.url + "/metricss"))[0] == 404


async def test_a_connection_is_kept(http, serving):
    """A scraper may use one connection for all of its scrapes."""
    async with serving() as server:
        for _ in range(3):
            _, headers, _ = await get(http, server.url + "/metrics")
            assert headers.get("Connection") != "close"


async def test_rendering_does_not_stall_the_loop(http, serving, slow, eventually):
    """While a collector takes its time the event loop goes on, and /healthz answers."""
    async with serving() as server:
        scrape = asyncio.create_task(get(http, server.url + "/metrics"))
        await eventually(lambda: slow.collections)
        started = time.perf_counter()
        assert (await get(http, server.url + "/healthz"))[0] == 200
        assert time.perf_counter() - started < HOLD_SECONDS / 2  # and not when the collector gives up
        assert not scrape.done()
        slow.go_on.set()
        status, _, body = await scrape

    assert status == 200
    assert b"slow_things 7" in body


async def test_simultaneous_scrapes_are_one_piece_of_work(http, serving, slow, eventually, monkeypatch):
    """Scrapes that arrive while one is under way are answered with it."""
    arrived, answer = [], Routes._metrics

    async def note(routes, request):
        arrived.append(request)
        return await answer(routes, request)

    monkeypatch.setattr(Routes, "_metrics", note)
    async with serving() as server:
        scrapes = [asyncio.create_task(get(http, server.url + "/metrics"))]
        await eventually(lambda: slow.collections)
        scrapes += [asyncio.create_task(get(http, server.url + "/metrics")) for _ in range(3)]
        await eventually(lambda: len(arrived) == 4)
        slow.go_on.set()
        answers = await asyncio.gather(*scrapes)

    assert slow.collections == 1
    assert len({body for _, _, body in answers}) == 1


async def test_too_many_scrapes_are_turned_away(http, serving, slow, eventually):
    """One scrape more than allowed is answered 503 with the time to come back; afterwards there is room again."""
    async with serving(max_concurrency=1) as server:
        scrape = asyncio.create_task(get(http, server.url + "/metrics"))
        await eventually(lambda: slow.collections)
        status, headers, _ = await get(http, server.url + "/metrics")
        assert (status, headers["Retry-After"]) == (503, "1")
        assert (await get(http, server.url + "/healthz"))[0] == 200
        slow.go_on.set()
        assert (await scrape)[0] == 200
        assert (await get(http, server.url + "/metrics"))[0] == 200


async def test_a_broken_collector_fails_the_scrape(http, serving, slow, telemetry):
    """A collector that raises is a failed scrape, counted; the next one may work."""
    slow.go_on.set()
    slow.error = ValueError("broken collector")
    async with serving() as server:
        status, _, body = await get(http, server.url + "/metrics")
        assert status == 500
        assert b"broken collector" not in body
        slow.error = None
        assert (await get(http, server.url + "/metrics"))[0] == 200

    assert b'telemetry_errors_total{component="server/metrics"} 1' in telemetry.render()


async def test_values_are_refreshed_before_each_scrape(http, serving, telemetry):
    """What is read at scrape time is as of the scrape; a probe that fails costs only its own values."""
    size = telemetry.gauge("example_size", "An example.")
    sizes = iter((3, 4))
    telemetry.at_scrape(lambda: size.set(next(sizes)))
    async with serving() as server:
        bodies = [(await get(http, server.url + "/metrics"))[2] for _ in range(3)]

    assert [b"example_size 3" in bodies[0], b"example_size 4" in bodies[1]] == [True, True]
    assert b"example_size 4" in bodies[2]


async def test_the_loop_lag_is_recorded(http, serving, telemetry, eventually):
    """While the server runs the event loop's lag is observed, and afterwards no more."""

    def observed():
        text = telemetry.render().decode()
        return next(
            sample.value
            for family in parse_text(text)
            for sample in family.samples
            if sample.name == "event_loop_lag_seconds_count"
        )

    async with serving():
        await eventually(lambda: observed() >= 2)
    assert len(asyncio.all_tasks()) == 1


class TestOtherPages:
    async def test_the_process_is_alive(self, http, serving):
        """/healthz says ok as long as the process answers."""
        async with serving() as server:
            status, _, body = await get(http, server.url + "/healthz")

        assert (status, body) == (200, b"ok\n")

    async def test_readiness_is_what_the_checks_say(self, http, serving, telemetry):
        """/readyz is 200 when all checks pass and 503 otherwise, and shows each check; secrets are removed."""

        async def redis():
            raise ConnectionError("redis://app:hunter2secret@cache:6379/0 is away")

        telemetry.add_check("disk", lambda: None)
        async with serving() as server:
            async with http.get(server.url + "/readyz") as response:
                ready = response.status, await response.json()
            telemetry.add_check("redis", redis)
            async with http.get(server.url + "/readyz") as response:
                not_ready = response.status, await response.json()

        assert ready[0] == 200
        assert ready[1]["status"] == "ready"
        assert not_ready[0] == 503
        assert not_ready[1]["status"] == "not ready"
        assert not_ready[1]["checks"]["disk"]["ok"] is True
        failed = not_ready[1]["checks"]["redis"]
        assert failed["ok"] is False
        assert "hunter2secret" not in failed["error"]
        assert "is away" in failed["error"]

    async def test_the_front_page_says_what_is_here(self, http, serving):
        """/ names service, version and number of series."""
        async with serving() as server:
            status, headers, body = await get(http, server.url + "/")

        assert status == 200
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert b"shop-bot 1.2.3" in body
        assert b" series are exposed" in body


class TestAuthorization:
    @pytest.mark.parametrize("path", ["/", "/metrics", "/readyz", "/unheard-of"])
    async def test_without_the_token_nothing_is_shown(self, http, serving, path):
        """Every path but /healthz needs the bearer token, if one is configured."""
        async with serving(bearer_token="s3cret") as server:
            async with http.get(server.url + path) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"].startswith("Bearer")
            status, _, _ = await get(http, server.url + "/metrics", Authorization="Bearer s3cret")

        assert status == 200

    async def test_user_and_password_work_too(self, http, serving):
        """Basic authentication is the other way in."""
        async with serving(basic_auth=("prometheus", "s3cret")) as server:
            answers = [
                await get(http, server.url + "/metrics", Authorization=f"Basic {credentials}")
                for credentials in ("cHJvbWV0aGV1czpzM2NyZXQ=", "cHJvbWV0aGV1czp3cm9uZw==")
            ]

        assert [status for status, _, _ in answers] == [200, 401]

    async def test_health_stays_open(self, http, serving):
        """The platform that restarts a hung process needs no credentials."""
        async with serving(bearer_token="s3cret") as server:
            assert (await get(http, server.url + "/healthz"))[0] == 200
