"""The layers below the service, real; and a language model's server that says what a test tells it to."""

import asyncio
import json
from types import SimpleNamespace

import pytest
import pytest_asyncio
from aiohttp import web
from redis.asyncio import Redis

from botmetry import LogSettings, Telemetry
from midas.ai import Categorizer, LanguageModel
from midas.confirmations import ConfirmationService
from midas.queue import AITaskQueue
from midas.store import open_store
from midas.sync import SyncService


class ModelServer:
    """Speaks the chat completion protocol; answers with `content`, or as `misbehave` says."""

    def __init__(self):
        self.url = ""
        self.content = json.dumps({"category": "Entertainment", "confidence": 0.9})
        self.logprobs = None
        self.status = 200
        self.requests = []
        self.silent = None

    async def answer(self, request):
        self.requests.append(SimpleNamespace(headers=dict(request.headers), body=await request.json()))
        if self.silent is not None:
            await self.silent.wait()
        if self.status != 200:
            return web.json_response(
                {"error": {"message": "Incorrect API key provided: sk-secret"}}, status=self.status
            )
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": self.content},
            "logprobs": self.logprobs and {"content": self.logprobs},
        }
        usage = {"prompt_tokens": 200, "completion_tokens": 20, "total_tokens": 220}
        body = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
        return web.json_response(body)


@pytest_asyncio.fixture(name="model_server")
async def _model_server():
    server = ModelServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"
    yield server
    if server.silent is not None:
        server.silent.set()
    await runner.cleanup()


@pytest.fixture(name="telemetry")
def _telemetry():
    telemetry = Telemetry(service="midas-test", log=LogSettings(output="none"))
    yield telemetry
    telemetry.close()


@pytest.fixture(name="sample")
def _sample(telemetry):
    """Give the value of a sample, such as ``sample("ai_corrections_total", task="x")``; 0 when there is none."""

    def sample(name, **labels):
        for family in telemetry.registry.collect():
            for found in family.samples:
                if found.name == name and labels.items() <= found.labels.items():
                    return found.value
        return 0.0

    return sample


@pytest_asyncio.fixture(name="model")
async def _model(model_server, telemetry):
    async with LanguageModel(
        api_key="sk-secret",
        base_url=model_server.url,
        model="deepseek-chat",
        timeout=60.0,
        telemetry=telemetry,
    ) as model:
        yield model


@pytest_asyncio.fixture(name="store")
async def _store(postgres_url):
    async with open_store(postgres_url) as store:
        yield store


@pytest_asyncio.fixture(name="redis")
async def _redis(redis_url):
    async with Redis.from_url(redis_url) as redis:
        yield redis


@pytest_asyncio.fixture(name="queue")
async def _queue(redis, telemetry):
    async with AITaskQueue(redis, telemetry=telemetry) as queue:
        yield queue


@pytest.fixture(name="confirmations")
def _confirmations(redis, telemetry):
    return ConfirmationService(redis, telemetry)


@pytest.fixture(name="categorizer")
def _categorizer(store, telemetry):
    return Categorizer(store.merchants, None, telemetry)


@pytest.fixture(name="sync")
def _sync(store, queue, categorizer, confirmations, telemetry):
    """The service as it runs: with a queue."""
    return SyncService(store, queue, categorizer, confirmations, telemetry)


@pytest.fixture(name="direct")
def _direct(store, queue, categorizer, confirmations, telemetry):
    """The service without asynchronous AI."""
    return SyncService(store, queue, categorizer, confirmations, telemetry, use_async_ai=False)


@pytest.fixture(name="silence")
def _silence(model_server):
    """Make the language model's server answer only at the end of the test."""
    model_server.silent = asyncio.Event()
