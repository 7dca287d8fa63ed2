"""Asks a language model for the category of one transaction.

Any server that speaks OpenAI's chat completion protocol will do; DeepSeek's is the default. Errors of the client
become ours here, so that nobody else imports it; neither the key nor what a server says about it reaches a
message.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from botmetry.integrations.openai import Price, instrument
from midas.ai.evidence import stated_confidence, token_confidence
from midas.ai.prompt import INSTRUCTIONS, category_span, question, read_answer
from midas.errors import LanguageModelAnswerInvalid, LanguageModelTimeout, LanguageModelUnavailable
from midas.settings import DEEPSEEK_API_URL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from types import TracebackType

    from openai.types.chat import ChatCompletion
    from openai.types.chat.chat_completion import Choice

    from botmetry import Telemetry

TIMEOUT_SECONDS: Final = 25.0
"""Below the 30 seconds a queued task has, so that the task itself can still fall back."""

_RETRIES: Final = 1
"""Inside the timeout, after a connection that failed or a 429 or 5xx; a queue above us retries the rest."""

_LONGEST_ANSWER: Final = 100
"""Tokens; a category and a number take about 20."""


PRICES: Final = {"deepseek-chat": Price(input=0.27, output=1.10)}
"""From api-docs.deepseek.com, quick start, pricing: without the discount for cached input and without off-peak
hours, so the cost that is reported is an upper bound. Prices change: pass your own."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the model thinks of one transaction."""

    category: str
    confidence: float
    """0..1, computed by ``midas.ai.evidence``."""
    evidence: str


class LanguageModel:
    """A model behind OpenAI's protocol; close it, or use it as an async context manager.

    Args:
        api_key: Sent to the server and nowhere else.
        base_url: Of the server, up to what comes before ``/chat/completions``.
        model: Name that the server knows.
        timeout: Seconds for one question, retries included.
        telemetry: Where calls, tokens and cost are reported.
        prices: By model; the cost of a model that is not there is not reported.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = DEEPSEEK_API_URL,
        model: str = "deepseek-chat",
        timeout: float = TIMEOUT_SECONDS,
        telemetry: Telemetry | None = None,
        prices: Mapping[str, Price] = PRICES,
    ) -> None:
        self.model = model
        self._timeout = timeout
        import openai  # noqa: PLC0415 - 1.4 s of CPU that a bot without a model need not pay

        self._client = openai.AsyncOpenAI(
            api_key=api_key, base_url=base_url, timeout=timeout, max_retries=_RETRIES
        )
        if telemetry is not None:
            instrument(self._client, telemetry, prices=prices)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def judge(self, description: str, amount: Decimal, currency: str = "EUR") -> Judgement:
        """Ask for the category of one transaction.

        Raises:
            LanguageModelTimeout: No answer in time.
            LanguageModelUnavailable: No connection, or the server answered with an error.
            LanguageModelAnswerInvalid: The answer is not a known category with a number.
        """
        return _judgement(await self._complete(question(description, amount, currency)))

    async def _complete(self, user_message: str) -> ChatCompletion:
        import openai  # noqa: PLC0415 - see the constructor

        try:
            async with asyncio.timeout(self._timeout):
                return await self._client.chat.completions.create(
                    model=self.model,
                    messages=[
                        {"role": "system", "content": INSTRUCTIONS},
                        {"role": "user", "content": user_message},
                    ],
                    response_format={"type": "json_object"},
                    temperature=0.0,
                    max_tokens=_LONGEST_ANSWER,
                    logprobs=True,
                )
        except (TimeoutError, openai.APITimeoutError) as error:
            raise LanguageModelTimeout(
                f"{self.model} did not answer within {self._timeout:g} seconds"
            ) from error
        except openai.APIStatusError as error:
            raise LanguageModelUnavailable(
                f"{self.model} answered with HTTP status {error.status_code}"
            ) from None
        except openai.APIResponseValidationError:
            raise LanguageModelAnswerInvalid(f"{self.model} did not answer with a chat completion") from None
        except openai.OpenAIError as error:
            # Without the cause: it can hold the request, and that holds the key.
            raise LanguageModelUnavailable(
                f"{self.model} cannot be reached ({type(error).__name__})"
            ) from None


def _judgement(completion: ChatCompletion) -> Judgement:
    if not completion.choices:
        raise LanguageModelAnswerInvalid("the language model gave no answer")
    choice = completion.choices[0]
    text = choice.message.content or ""
    answer = read_answer(text)
    logprobs = _logprobs_of(choice, *category_span(text, answer.category))
    if logprobs:
        return Judgement(answer.category, token_confidence(logprobs), "probability of the model's own tokens")
    return Judgement(
        answer.category, stated_confidence(answer.confidence), f"the model states {answer.confidence:.2f}"
    )


def _logprobs_of(choice: Choice, start: int, end: int) -> list[float]:
    """Give the log probabilities of the tokens that overlap a part of the answer, or none when they do not fit it."""
    tokens = (choice.logprobs.content or []) if choice.logprobs is not None else []
    if "".join(token.token for token in tokens) != (choice.message.content or ""):
        return []
    found, position = [], 0
    for token in tokens:
        if position < end and position + len(token.token) > start:
            found.append(token.logprob)
        position += len(token.token)
    return found
