"""The openai client observed, against a server that speaks its protocol."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import sys

import openai
import pytest
from aiohttp import web
from pydantic import BaseModel

from botmetry import MissingExtraError
from botmetry.integrations import openai as integration
from botmetry.integrations.openai import Price

MODEL = "deepseek-chat"
SECRET = "what-the-customer-asked"
ANSWER = "what-the-model-answered"
DURATION = "gen_ai_client_inference_duration_seconds_count"
TOKENS = "ai_tokens_total"
COST = "ai_cost_usd_total"
PRICES = {MODEL: Price(0.5, 2.0, cached_input=0.1), "plain": (1.0, 4.0)}
USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "total_tokens": 1200,
    "prompt_tokens_details": {"cached_tokens": 400},
}


async def done(result):
    """Return the result of a client's method, whichever kind of client it is."""
    return await result if inspect.isawaitable(result) else result


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer a chat completion; the model's name says how."""
    asked = await request.json()
    model = asked["model"]
    if model == "broken":
        return web.json_response({"error": {"message": "out of order"}}, status=500)
    if model == "slow":
        await asyncio.sleep(30)
    if asked.get("stream"):
        return await stream(request, asked)
    message = {"role": "assistant", "content": ANSWER}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]}
    return web.json_response(body if model == "no-usage" else {**body, "usage": USAGE})


async def broken_stream(response: web.StreamResponse) -> web.StreamResponse:
    await response.write(b'data: {"error": {"message": "overloaded"}}\n\n')
    return response


async def stream(request: web.Request, asked: dict[str, object]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    if asked["model"] == "breaks":
        return await broken_stream(response)
    base = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": asked["model"]}
    for word in ("Hello", " there"):
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        await response.write(f"data: {json.dumps({**base, 'choices': [choice]})}\n\n".encode())
    if (asked.get("stream_options") or {}).get("include_usage"):
        await response.write(f"data: {json.dumps({**base, 'choices': [], 'usage': USAGE})}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    return response


@pytest.fixture(name="url")
async def _url():
    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{site.port}/v1"
    await runner.cleanup()


@pytest.fixture(name="client")
async def _client(url, telemetry):
    async with openai.AsyncOpenAI(api_key="sk-test", base_url=url, max_retries=0) as client:
        integration.instrument(client, telemetry, prices=PRICES)
        yield client


@pytest.fixture(name="sync_client")
def _sync_client(url, telemetry):
    with openai.OpenAI(api_key="sk-test", base_url=url, max_retries=0) as client:
        integration.instrument(client, telemetry, prices=PRICES)
        yield client


def ask(client, model=MODEL, **options):
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": SECRET}], **options
    )


def inferences(seen):
    """Return the counts by (error type, model)."""
    return {(error, model): count for (error, _, _, model), count in seen.nonzero(DURATION).items()}


async def test_a_call_is_counted_with_tokens_and_cost(client, seen):
    """One call counts once, with the tokens the provider reports and what they cost, cached ones cheaper."""
    answered = await ask(client)

    assert answered.choices[0].message.content == ANSWER
    assert seen.nonzero(DURATION) == {("", "chat", "other", MODEL): 1}
    assert seen.nonzero(TOKENS) == {("input", MODEL): 1000, ("output", MODEL): 200}
    assert seen.value(COST, model=MODEL) == pytest.approx((600 * 0.5 + 400 * 0.1 + 200 * 2.0) / 1e6)
    assert seen.nonzero("gen_ai_client_inference_usage_input_tokens_total") == {
        ("chat", "other", MODEL): 1000
    }
    assert seen.nonzero("gen_ai_client_inference_usage_output_tokens_total") == {
        ("chat", "other", MODEL): 200
    }


async def test_the_synchronous_client_is_observed_alike(sync_client, seen):
    """A synchronous call, in a thread of its own, counts the same; a price may be a plain pair."""
    await asyncio.to_thread(ask, sync_client, "plain")

    assert inferences(seen) == {("", "plain"): 1}
    assert seen.value(COST, model="plain") == pytest.approx((1000 * 1.0 + 200 * 4.0) / 1e6)


async def test_an_answer_without_usage_costs_nothing(client, seen):
    """A provider that reports no usage leaves tokens and cost alone."""
    await ask(client, "no-usage")

    assert inferences(seen) == {("", "no-usage"): 1}
    assert seen.nonzero(TOKENS) == {}
    assert seen.nonzero(COST) == {}


async def test_an_error_is_counted_by_its_class(client, seen):
    """A call that fails counts under the class of its exception, and reaches the caller."""
    with pytest.raises(openai.InternalServerError):
        await ask(client, "broken")

    assert inferences(seen) == {("InternalServerError", "broken"): 1}


async def test_no_answer_in_time_is_a_timeout(client, seen, log_lines):
    """A call that gets no answer in time has the outcome timeout."""
    with pytest.raises(openai.APITimeoutError):
        await ask(client, "slow", timeout=0.05)

    assert inferences(seen) == {("TimeoutError", "slow"): 1}
    (line,) = log_lines("ai.inference_finished")
    assert (line["outcome"], line["error_type"]) == ("timeout", "APITimeoutError")


async def test_a_streamed_answer_is_one_call(client, sync_client, seen):
    """A stream counts when its last chunk is read, with the tokens of the last chunk, for both kinds of client."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = await ask(client, **options)
    words = [chunk.choices[0].delta.content async for chunk in chunks if chunk.choices]
    assert words == ["Hello", " there"]
    assert inferences(seen) == {("", MODEL): 1}

    def read():
        with ask(sync_client, **options) as stream:
            return [chunk.choices[0].delta.content for chunk in stream if chunk.choices]

    assert await asyncio.to_thread(read) == words
    assert inferences(seen) == {("", MODEL): 2}
    assert seen.nonzero(TOKENS) == {("input", MODEL): 2000, ("output", MODEL): 400}


async def test_a_stream_is_not_counted_before_its_end(client, seen):
    """While chunks are still to come the call is under way."""
    stream = await ask(client, stream=True)
    await anext(stream)
    assert inferences(seen) == {}
    async for _ in stream:
        continue

    assert inferences(seen) == {("", MODEL): 1}


async def test_a_stream_that_is_given_up_is_counted_as_cancelled(client, seen, log_lines, eventually):
    """A stream that nobody reads to its end is no error, and does not stay open."""
    stream = await ask(client, stream=True)
    await stream.close()
    del stream
    gc.collect()
    await eventually(lambda: inferences(seen))

    (line,) = log_lines("ai.inference_finished")
    assert line["outcome"] == "cancelled"


async def test_a_half_read_stream_leaves_the_context_alone(client, telemetry, log_lines):
    """Log lines of the caller stay in the caller's span while a stream is open."""
    with telemetry.ai.task("advise"):
        telemetry.log.info("advice.begun")
        stream = await ask(client, stream=True)
        await anext(stream)
        telemetry.log.info("advice.heard")
        async for _ in stream:
            continue
        telemetry.log.info("advice.given")

    spans = {line["span_id"] for name in ("begun", "heard", "given") for line in log_lines(f"advice.{name}")}
    (inference,) = log_lines("ai.inference_finished")
    (task,) = log_lines("ai.task_finished")
    assert spans == {task["span_id"]}
    assert inference["span_id"] not in spans
    assert inference["trace_id"] == task["trace_id"]


async def test_a_failing_stream_is_an_error(client, seen):
    """A stream that cannot be opened counts as the error it raises."""
    with pytest.raises(openai.InternalServerError):
        await ask(client, "broken", stream=True)

    assert inferences(seen) == {("InternalServerError", "broken"): 1}


async def test_a_stream_that_breaks_is_an_error(client, sync_client, seen):
    """A stream that ends with an error counts as it, once, for both kinds of client."""
    stream = await ask(client, "breaks", stream=True)
    with pytest.raises(openai.APIError, match="overloaded"):
        await anext(stream)

    def read():
        return next(ask(sync_client, "breaks", stream=True))

    with pytest.raises(openai.APIError, match="overloaded"):
        await asyncio.to_thread(read)

    assert inferences(seen) == {("APIError", "breaks"): 2}


async def test_a_raw_stream_is_counted(client, seen):
    """A streamed raw response is one call until its head; its chunks are read elsewhere."""
    raw = client.chat.completions.with_raw_response
    await raw.create(model=MODEL, messages=[], stream=True)

    assert inferences(seen) == {("", MODEL): 1}


async def test_copies_are_observed(client, seen):
    """A client made with `with_options` is observed like the one it was made from, until the undo."""
    undo = integration.instrument(client, object())
    copy = client.with_options(timeout=5).copy(max_retries=0)
    await ask(copy)
    undo()
    await ask(copy)

    assert inferences(seen) == {("", MODEL): 1}


async def test_a_raw_response_is_counted(client, seen):
    """`with_raw_response` is a call, too; what it used is in a body that we do not read."""
    await client.chat.completions.with_raw_response.create(model=MODEL, messages=[])

    assert inferences(seen) == {("", MODEL): 1}


async def test_content_is_never_told(client, seen, log_lines):
    """Neither question nor answer is in any metric or log line, also when `parse` cannot read the answer."""

    class Advice(BaseModel):
        budget: int

    await ask(client)
    with pytest.raises(ValueError, match=ANSWER):
        await client.chat.completions.parse(
            model=MODEL, messages=[{"role": "user", "content": SECRET}], response_format=Advice
        )

    assert inferences(seen) == {("", MODEL): 1, ("ValidationError", MODEL): 1}
    lines = log_lines()
    assert len([line for line in lines if line["event"] == "ai.inference_finished"]) == 2
    for private in (SECRET, ANSWER):
        assert private not in seen.text()
        assert private not in repr(lines)


async def test_it_can_be_taken_back(client, telemetry, seen):
    """After the undo nothing is counted, doing it twice does no harm, and observing again works."""
    undo = integration.instrument(client, telemetry)
    copied = client.with_options
    undo()
    undo()
    await ask(client)
    await ask(copied(timeout=5))
    assert inferences(seen) == {}
    integration.instrument(client, telemetry, provider="local")
    await ask(client)

    assert seen.nonzero(DURATION) == {("", "chat", "local", MODEL): 1}


async def test_a_synchronous_client_can_be_taken_back(sync_client, telemetry, seen):
    """Also what was taken from the client before the undo passes calls on."""
    create = sync_client.chat.completions.create
    integration.instrument(sync_client, telemetry)()
    await asyncio.to_thread(create, model=MODEL, messages=[])

    assert inferences(seen) == {}


async def test_a_broken_telemetry_does_not_reach_the_call(client, telemetry, seen, monkeypatch):
    """When the telemetry itself fails, the answer arrives, and the failure is counted."""

    def broken(*_, **__):
        raise RuntimeError("telemetry is broken")

    monkeypatch.setattr(telemetry.ai, "inference", broken)
    monkeypatch.setattr(telemetry.ai, "tokens", broken)

    assert (await ask(client)).choices[0].message.content == ANSWER
    assert seen.value("telemetry_errors_total", component="integrations") == 1
    assert seen.value("telemetry_errors_total", component="integrations.openai") == 1


def test_a_wrong_target_is_refused(telemetry):
    """Anything that is no client is an error that says what was given."""
    with pytest.raises(TypeError, match="object"):
        integration.instrument(object(), telemetry)


def test_a_missing_library_is_named(telemetry, monkeypatch):
    """Without openai the error is the command that installs it."""
    monkeypatch.setitem(sys.modules, "openai", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'botmetry\[openai\]'"):
        integration.instrument(object(), telemetry)
