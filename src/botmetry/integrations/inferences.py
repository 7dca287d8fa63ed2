"""What a call to a language model's API counts as: how long, how many tokens, how much money."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from botmetry.instrument import Operation
from botmetry.integrations.calls import Judge, TimedCall

if TYPE_CHECKING:
    from botmetry.telemetry import Telemetry

__all__ = ["OTHER", "PROVIDERS", "Inferences", "Price", "provider_at"]

PROVIDERS: Final[Mapping[str, str]] = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "api.deepseek.com": "deepseek",
    "api.perplexity.ai": "perplexity",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.x.ai": "x_ai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gcp.gemini",
}
"""Providers by the end of their host name, called as OpenTelemetry calls them in `gen_ai.provider.name`."""

OTHER: Final = "other"
"""The provider at any other address, such as a proxy or a model on this machine."""

_CHAT: Final = "chat"
_TOKENS_A_PRICE = 1_000_000


class Price(NamedTuple):
    """What a model costs, in US dollars a million tokens.

    Attributes:
        input: Of tokens read.
        output: Of tokens written.
        cached_input: Of tokens read from the provider's cache; None when they cost what `input` says.
    """

    input: float
    output: float
    cached_input: float | None = None

    def of(self, usage: Usage) -> float:
        """Return what `usage` costs, in US dollars."""
        cached = self.input if self.cached_input is None else self.cached_input
        read = (usage.input - usage.cached) * self.input + usage.cached * cached
        return (read + usage.output * self.output) / _TOKENS_A_PRICE


class Usage(NamedTuple):
    """The tokens of one call: read, written, and how many of those read came from the provider's cache."""

    input: int
    output: int
    cached: int


class Inferences:
    """Counts the chat calls of one provider.

    Attributes:
        active: Whether calls are counted; set to False when observing ends.
    """

    def __init__(
        self, telemetry: Telemetry, provider: str, prices: Mapping[str, Price], judge: Judge
    ) -> None:
        self.active = True
        self._telemetry = telemetry
        self._provider = provider
        self._prices = prices
        self._judge = judge

    def call(self, model: str) -> TimedCall:
        """Return the `with` block for one call to `model`."""
        make = partial(self._telemetry.ai.inference, _CHAT, self._provider, model)
        return TimedCall(make, self._judge, self._telemetry.internal_error)

    def answered(self, operation: Operation | None, model: str, answer: object) -> None:
        """Count the tokens and the cost that an answer, or the last chunk of one, reports."""
        try:
            usage = _usage_of(answer)
            if usage is None:
                return
            telemetry = self._telemetry
            telemetry.ai.tokens(model, usage.input, usage.output, operation=_CHAT, provider=self._provider)
            price = self._prices.get(model) or self._prices.get(str(getattr(answer, "model", "")))
            if price is not None:
                telemetry.ai.cost(model, price.of(usage))
            if operation is not None:
                operation.set(input_tokens=usage.input, output_tokens=usage.output)
        except Exception as error:  # noqa: BLE001 -- the answer is the program's, whatever the telemetry makes of it
            self._telemetry.internal_error("integrations.openai", error)


def provider_at(url: str) -> str:
    """Return the provider whose API is at `url`."""
    host = urlsplit(url).hostname or ""
    for known, provider in PROVIDERS.items():
        if host == known or host.endswith("." + known):
            return provider
    return OTHER


def _usage_of(answer: object) -> Usage | None:
    usage = getattr(answer, "usage", None)
    if usage is None:
        return None
    details = getattr(usage, "prompt_tokens_details", None)
    # DeepSeek reports its cache in a field of its own.
    cached = _number(details, "cached_tokens") or _number(usage, "prompt_cache_hit_tokens")
    read = _number(usage, "prompt_tokens")
    return Usage(read, _number(usage, "completion_tokens"), min(cached, read))


def _number(holder: Any, name: str) -> int:
    value = getattr(holder, name, None)
    return value if isinstance(value, int) and value > 0 else 0
