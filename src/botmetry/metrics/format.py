"""The exposition formats, as text made once for each series and filled in at each scrape.

Text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/ ; OpenMetrics 1.0:
https://prometheus.io/docs/specs/om/open_metrics_spec/ .
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from prometheus_client.utils import floatToGoString

from botmetry.metrics.series import Exemplar
from botmetry.metrics.spec import MetricSpec

__all__ = ["bound_text", "exemplar_text", "head", "label_text", "number", "series_text", "valid_unicode"]


def valid_unicode(text: str) -> str:
    """Return `text` with each lone surrogate, which UTF-8 cannot carry, replaced by U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def label_text(names: Iterable[str], values: Iterable[str]) -> str:
    """Return `a="1",b="2"`, escaped."""
    return ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))


def series_text(spec: MetricSpec, values: tuple[str, ...]) -> str:
    """Return the lines of one series, with `%s` or `%d` where its values belong.

    A histogram's places are: the cumulative count of each bucket, +Inf last, the count, the sum.
    """
    labels = label_text(spec.labels, values).replace("%", "%%")
    braced = f"{{{labels}}}" if labels else ""
    if spec.kind != "histogram":
        return f"{spec.name}{braced} %s\n"
    before = labels + "," if labels else ""
    lines = [
        f'{spec.name}_bucket{{{before}le="{bound_text(bound)}"}} %d\n' for bound in (*spec.buckets, math.inf)
    ]
    return f"{''.join(lines)}{spec.name}_count{braced} %d\n{spec.name}_sum{braced} %s\n"


def bound_text(bound: float) -> str:
    """Return a bucket's bound as the value of `le`, such as `0.5`, `1.0` or `+Inf`."""
    text: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
    return text


def head(spec: MetricSpec, *, openmetrics: bool) -> str:
    """Return the HELP and TYPE lines, and in OpenMetrics the UNIT line."""
    text = spec.help.replace("\\", "\\\\").replace("\n", "\\n")
    if not openmetrics:
        kind = "gauge" if spec.kind == "info" else spec.kind
        return f"# HELP {spec.name} {text}\n# TYPE {spec.name} {kind}\n"
    text = text.replace('"', '\\"')
    unit = f"# UNIT {spec.base} {spec.unit}\n" if spec.unit and spec.kind != "info" else ""
    return f"# HELP {spec.base} {text}\n# TYPE {spec.base} {spec.kind}\n{unit}"


def number(value: float) -> str:
    """Return a value as both formats write it."""
    if value - value == 0.0:  # finite
        return repr(value)
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def exemplar_text(exemplar: Exemplar) -> str:
    """Return ` # {trace_id="…"} 0.3 1700000000.0`, which follows a value in OpenMetrics."""
    labels = label_text(exemplar.labels, map(valid_unicode, exemplar.labels.values()))
    return f" # {{{labels}}} {number(exemplar.value)} {exemplar.timestamp:.3f}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
