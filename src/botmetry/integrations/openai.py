"""Observes the openai client, and so every provider that speaks its protocol: calls, tokens and cost.

A call is `chat.completions.create` or `.parse`, streaming or not. It becomes `gen_ai_client_inference_*` with the
provider found from the base address, tokens from the usage that the provider reports, and cost from the prices given.
What is asked and answered is never looked at.

A streamed answer is one call, from the request to its last chunk. Its tokens are known only when the request asks for
them with `stream_options={"include_usage": True}`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager
from contextvars import copy_context
from functools import wraps
from typing import TYPE_CHECKING, Any
from weakref import finalize

from botmetry.errors import MissingExtraError
from botmetry.integrations.calls import Judge, Verdict
from botmetry.integrations.inferences import PROVIDERS, Inferences, Price, provider_at

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

    from botmetry.integrations.subclassing import Undo
    from botmetry.telemetry import Telemetry

__all__ = ["PROVIDERS", "Price", "instrument"]

_UNDO = "__botmetry_undo__"
_CALLS = ("create", "parse")
_COPIES = ("copy", "with_options")


def instrument(
    target: AsyncOpenAI | OpenAI,
    telemetry: Telemetry,
    *,
    prices: Mapping[str, Price | tuple[float, float]] | None = None,
    provider: str | None = None,
) -> Undo:
    """Observe the chat completions of a client and of the copies it makes; return how to take that back.

    Doing it twice is doing it once.

    Args:
        target: The client.
        telemetry: Who observes it.
        prices: By model name, in US dollars a million tokens. The cost of a model that is not there is not counted.
        provider: Its name, where the base address does not tell.

    Raises:
        MissingExtraError: openai is not installed.
        TypeError: `target` is no client of openai.
    """
    try:
        import openai  # noqa: PLC0415 -- paid for by those who use it
    except ImportError as error:
        raise MissingExtraError("openai", "openai") from error
    if not isinstance(target, openai.AsyncOpenAI | openai.OpenAI):
        raise TypeError(f"a client of openai can be instrumented, not {type(target).__name__}")
    undo: Undo | None = getattr(target.chat.completions, _UNDO, None)
    if undo is not None:
        return undo
    priced = {model: Price(*price) for model, price in (prices or {}).items()}
    judge = _judge(openai.OpenAIError, openai.APITimeoutError)
    return _observe(
        target, Inferences(telemetry, provider or provider_at(str(target.base_url)), priced, judge)
    )


def _observe(client: AsyncOpenAI | OpenAI, inferences: Inferences) -> Undo:
    # What is in an object's own dictionary hides the method of its class, and leaves the class as it is.
    completions, own = vars(client.chat.completions), vars(client)

    def undo() -> None:
        inferences.active = False
        for name in (*_CALLS, _UNDO):
            completions.pop(name, None)
        for name in _COPIES:
            own.pop(name, None)

    # The client says which kind it is; its methods are decorated, and hide whether they are coroutine functions.
    observed = _observed_async if hasattr(client, "__aenter__") else _observed
    for name in _CALLS:
        method = getattr(client.chat.completions, name, None)
        if method is not None:
            completions[name] = observed(method, inferences)
    for name in _COPIES:
        own[name] = _observing_copies(getattr(client, name), inferences)
    completions[_UNDO] = undo
    return undo


def _observing_copies(copy: Callable[..., Any], inferences: Inferences) -> Callable[..., Any]:
    """Return a client's `copy` whose copies are observed like the client."""

    @wraps(copy)
    def method(*args: Any, **options: Any) -> Any:
        made = copy(*args, **options)
        if inferences.active:
            _observe(made, inferences)
        return made

    return method


def _observed_async(method: Callable[..., Any], inferences: Inferences) -> Callable[..., Any]:
    @wraps(method)
    async def call(*args: Any, **options: Any) -> Any:
        if not inferences.active:
            return await method(*args, **options)
        model = str(options.get("model", ""))
        if options.get("stream"):
            streamed = _StreamedCall(inferences, model)
            with streamed.until_it_begins():
                return streamed.follow(await method(*args, **options))
        with inferences.call(model) as operation:
            answer = await method(*args, **options)
            inferences.answered(operation, model, answer)
            return answer

    return call


def _observed(method: Callable[..., Any], inferences: Inferences) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **options: Any) -> Any:
        if not inferences.active:
            return method(*args, **options)
        model = str(options.get("model", ""))
        if options.get("stream"):
            streamed = _StreamedCall(inferences, model)
            with streamed.until_it_begins():
                return streamed.follow(method(*args, **options))
        with inferences.call(model) as operation:
            answer = method(*args, **options)
            inferences.answered(operation, model, answer)
            return answer

    return call


class _StreamedCall:
    """A call that ends in another place than it began: where the last chunk of its answer is read.

    It lives in a copy of the caller's context, because a span that a half-read stream leaves open must not be
    the caller's current one.
    """

    def __init__(self, inferences: Inferences, model: str) -> None:
        self._inferences = inferences
        self._model = model
        self._context = copy_context()
        self._timed = inferences.call(model)
        self._operation = self._context.run(self._timed.__enter__)
        self._ended = False

    def end(self, error: BaseException | None = None) -> None:
        """End the call; only the first time counts."""
        if not self._ended:
            self._ended = True
            trace = None if error is None else error.__traceback__
            self._context.run(self._timed.__exit__, None if error is None else type(error), error, trace)

    @contextmanager
    def until_it_begins(self) -> Iterator[None]:
        """End the call when the block raises, because then no stream will."""
        try:
            yield
        except BaseException as error:
            self.end(error)
            raise

    def follow(self, stream: Any) -> Any:
        """Return `stream`, which from now on ends the call with its last chunk."""
        chunks = getattr(stream, "_iterator", None)  # iterating, `async for` and `next` all go through it
        if chunks is None:  # a raw response: its chunks are read elsewhere
            self.end()
            return stream
        asynchronous = hasattr(chunks, "__anext__")
        stream._iterator = self._each_async(chunks) if asynchronous else self._each(chunks)  # noqa: SLF001
        # A stream that nobody reads to its end was given up.
        finalize(stream, self.end, GeneratorExit()).atexit = False
        return stream

    async def _each_async(self, chunks: Any) -> AsyncIterator[Any]:
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    self._inferences.answered(self._operation, self._model, chunk)
                    yield chunk
        except BaseException as error:
            self.end(error)
            raise
        self.end()

    def _each(self, chunks: Any) -> Iterator[Any]:
        try:
            with closing(chunks):
                for chunk in chunks:
                    self._inferences.answered(self._operation, self._model, chunk)
                    yield chunk
        except BaseException as error:
            self.end(error)
            raise
        self.end()


def _judge(known: type[Exception], timeout: type[Exception]) -> Judge:
    def judge(error: BaseException) -> Verdict | None:
        if isinstance(error, timeout):
            told = {"error_type": type(error).__name__}
            return Verdict("timeout", told, TimeoutError("the provider did not answer in time"))
        if isinstance(error, known | TimeoutError) or not isinstance(error, Exception):
            return None
        # Such as pydantic's complaint about an answer that `parse` could not read: its text quotes the answer.
        return Verdict("error", {}, type(type(error).__name__, (Exception,), {})())

    return judge
