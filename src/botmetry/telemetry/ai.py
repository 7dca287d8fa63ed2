"""The ai family: tasks given to a model, how sure it was, what it cost, and what people made of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from botmetry.instrument import Description, Instrument, Operation, OperationSeries
from botmetry.telemetry.workshop import Kept, Workshop

__all__ = ["Ai"]


class Ai:
    """What a model is asked and what it answers."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._requests = workshop.counter("ai_requests_total")
        self._seconds = workshop.histogram("ai_request_duration_seconds")
        self._confidence = workshop.histogram("ai_confidence_ratio")
        self._confirmations = workshop.counter("ai_confirmations_total")
        self._corrections = workshop.counter("ai_corrections_total")
        self._fallbacks = workshop.counter("ai_fallbacks_total")
        self._tokens = workshop.counter("ai_tokens_total")
        self._cost = workshop.counter("ai_cost_usd_total")
        self._inference_seconds = workshop.histogram("gen_ai_client_inference_duration_seconds")
        self._input_tokens = workshop.counter("gen_ai_client_inference_usage_input_tokens_total")
        self._output_tokens = workshop.counter("gen_ai_client_inference_usage_output_tokens_total")
        self._tasks: Kept[tuple[str, str]] = Kept()
        self._inferences: Kept[tuple[str, str, str]] = Kept()

    def task(self, task: str, model: str = "none") -> Instrument:
        """Count, log and trace an AI task: a decorator or a `with` block.

        A result with a `confidence` attribute or key of 0 to 1 has it observed; in a `with` block set
        `operation.confidence`.
        """
        return self._tasks.get_or_make((task, model), lambda: self._make_task(task, model))

    def confidence(self, task: str, ratio: float) -> None:
        """Observe a confidence of 0 to 1; anything else counts as a failure of the telemetry."""
        try:
            fits = 0.0 <= ratio <= 1.0
        except Exception:  # noqa: BLE001 - it is no number at all
            fits = False
        if fits:
            self._confidence.labels(task).observe(ratio)
        else:
            problem = ValueError(f"confidence {ratio!r} of task {task!r} is not between 0 and 1")
            self._workshop.reporter.failed("ai.confidence", problem)

    def confirmation(self, task: str, mode: Literal["auto", "manual"]) -> None:
        """Count an answer that was accepted automatically (`auto`) or put to the user (`manual`)."""
        self._confirmations.labels(task, mode).inc()

    def correction(self, task: str) -> None:
        """Count an answer that a user corrected."""
        self._corrections.labels(task).inc()

    def fallback(self, task: str, reason: str) -> None:
        """Count an answer that was given without the model, such as `timeout` or `bad_answer`."""
        self._fallbacks.labels(task, reason).inc()

    def tokens(
        self,
        model: str,
        input: int = 0,  # noqa: A002 - the label's value is called input
        output: int = 0,
        *,
        operation: str = "chat",
        provider: str = "",
    ) -> None:
        """Add tokens read and written; with `provider` under the OpenTelemetry names, too."""
        add = self._workshop.add
        add(self._tokens, input, model, "input")
        add(self._tokens, output, model, "output")
        if provider:
            add(self._input_tokens, input, operation, provider, model)
            add(self._output_tokens, output, operation, provider, model)

    def cost(self, model: str, usd: float) -> None:
        """Add money spent, in US dollars."""
        self._workshop.add(self._cost, usd, model)

    def inference(self, operation: str, provider: str, model: str) -> Instrument:
        """Count, log and trace one call to a model's API under the OpenTelemetry GenAI names.

        Args:
            operation: `chat`, `embeddings`, …
            provider: `deepseek`, `openai`, `perplexity`, …
            model: The model that was asked for.
        """
        key = (operation, provider, model)
        return self._inferences.get_or_make(key, lambda: self._make_inference(*key))

    def _make_task(self, task: str, model: str) -> Instrument:
        def on_result(operation: Operation, result: object) -> None:
            ratio = operation.confidence if operation.confidence is not None else _confidence_of(result)
            if ratio is not None:
                self.confidence(task, ratio)
                operation.set(confidence=ratio)

        fields = {"task_type": task, "model": model}
        return self._workshop.instrument(
            Description("ai.task_finished", f"ai.task {task}", "internal", fields, bound={"task_type": task}),
            self._seconds,
            task,
            model,
            requests=self._requests,
            on_result=on_result,
        )

    def _make_inference(self, operation: str, provider: str, model: str) -> Instrument:
        fields = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
        }
        described = Description("ai.inference_finished", f"{operation} {model}", "client", fields)
        series = OperationSeries(
            lambda error_type: self._inference_seconds.labels(operation, provider, model, error_type)
        )
        return Instrument(described, series, self._workshop.reporter)


def _confidence_of(result: object) -> float | None:
    value: Any = (
        result.get("confidence") if isinstance(result, Mapping) else getattr(result, "confidence", None)
    )
    # Also a Decimal, or a number of numpy's: a text has no such method.
    if hasattr(type(value), "__float__") and not isinstance(value, bool):
        return float(value)
    return None
