"""A language model behind OpenAI's protocol: it reads what it is asked and answers from evidence, after a while.

It understands one thing, naming a payment's category: it finds the payment and the offered categories in the messages
and says what `evidence.judge` makes of them, as JSON. Asked for anything else it says in plain words what it can do.
"""

import asyncio
import json
import random
import time
from typing import Any

from aiohttp import web

from midas.demo.internet.evidence import Judgement, judge
from midas.demo.internet.faults import Faults
from midas.demo.internet.questions import Question, read_question
from midas.demo.internet.tokens import count_tokens, token_probabilities

SLOW_SECONDS = 12.0  # under `slow-ai`: above the ten seconds from which on slowness is alarming
LATENCY_MEDIAN_SECONDS = 0.6
LATENCY_SPREAD = 0.45  # sigma of the logarithm: nine answers in ten within 0.3 to 1.25 s
LATENCY_RANGE_SECONDS = (0.3, 1.5)
FAILURE_NAME = "chat/completions"  # under which Faults.fail_next refuses the next answers

Body = dict[str, Any]


class ApiError(Exception):
    """An answer in OpenAI's error shape."""

    def __init__(self, status: int, message: str, kind: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": None, "code": code}}


class ModelServer:
    """`/v1/chat/completions` and `/v1/models`."""

    def __init__(self, faults: Faults, luck: random.Random, api_key: str = "") -> None:
        """Prepare the model.

        Args:
            faults: `slow-ai` and `low-confidence` change how it answers.
            luck: Draws the latencies.
            api_key: The only key that is accepted; empty accepts any that is not empty.
        """
        self._faults = faults
        self._luck = luck
        self._api_key = api_key
        self._asked = 0
        self._refused = 0
        self._thinking = 0

    def add_routes(self, app: web.Application) -> None:
        """Add the endpoints with and without `/v1`, since some providers leave it out."""
        for prefix in ("/v1", ""):
            app.router.add_post(f"{prefix}/chat/completions", self._complete)
            app.router.add_get(f"{prefix}/models", self._models)

    def stats(self) -> dict[str, int]:
        """Return how many completions were asked for, refused, and are being thought about."""
        return {"asked": self._asked, "refused": self._refused, "thinking": self._thinking}

    async def _complete(self, request: web.Request) -> web.Response:
        self._asked += 1
        self._thinking += 1
        try:
            self._authenticate(request)
            body = _checked(await _read_json(request))
            await asyncio.sleep(self._latency())
            self._fail_if_due()
            return web.json_response(self._answer(body))
        except ApiError as error:
            self._refused += 1
            return web.json_response(error.body, status=error.status)
        finally:
            self._thinking -= 1

    async def _models(self, request: web.Request) -> web.Response:
        try:
            self._authenticate(request)
        except ApiError as error:
            return web.json_response(error.body, status=error.status)
        models = [{"id": "deepseek-chat", "object": "model", "created": 0, "owned_by": "local"}]
        return web.json_response({"object": "list", "data": models})

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key or (self._api_key and key != self._api_key):
            raise ApiError(401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key")

    def _fail_if_due(self) -> None:
        failure = self._faults.take_failure(FAILURE_NAME)
        if failure is not None:
            raise ApiError(failure.status, failure.description, "server_error")

    def _latency(self) -> float:
        if "slow-ai" in self._faults:
            return SLOW_SECONDS
        low, high = LATENCY_RANGE_SECONDS
        return min(max(self._luck.lognormvariate(0.0, LATENCY_SPREAD) * LATENCY_MEDIAN_SECONDS, low), high)

    def _answer(self, body: Body) -> Body:
        question = read_question(body["messages"])
        judgement = self._judge(question)
        text = _say(judgement)
        choice: Body = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }
        choice["logprobs"] = None
        if body.get("logprobs"):
            choice["logprobs"] = {"content": token_probabilities(text, judgement)}
        read = sum(count_tokens(str(message.get("content", ""))) for message in body["messages"])
        written = count_tokens(text)
        return {
            "id": f"chatcmpl-{self._asked:012d}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [choice],
            "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        }

    def _judge(self, question: Question | None) -> Judgement | None:
        if question is None:
            return None
        judgement = judge(question.description, question.categories)
        if "low-confidence" in self._faults:
            return Judgement(judgement.category, round(min(judgement.confidence, 0.3), 4))
        return judgement


def _say(judgement: Judgement | None) -> str:
    if judgement is None:
        return (
            "I can name the category of a payment: give me its description and the categories to choose from."
        )
    return json.dumps({"category": judgement.category, "confidence": judgement.confidence})


async def _read_json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError:
        raise ApiError(
            400, "We could not parse the JSON body of your request.", "invalid_request_error"
        ) from None


def _checked(body: Any) -> Body:
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise ApiError(400, "you must provide a model parameter", "invalid_request_error")
    messages = body.get("messages")
    if not (
        isinstance(messages, list) and messages and all(isinstance(message, dict) for message in messages)
    ):
        raise ApiError(400, "'messages' must be a non-empty array of objects.", "invalid_request_error")
    if body.get("stream"):
        raise ApiError(400, "this model does not stream", "invalid_request_error", "unsupported_value")
    return body
