"""The page at `/`, which tells a person what is here.

It needs nothing from elsewhere: no script, no style sheet, no image, no font.
"""

from __future__ import annotations

from html import escape

__all__ = ["landing_page"]

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Metrics of {service}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 40rem; padding: 0 1rem; color: #1f2328; }}
h1 {{ font-size: 1.5rem; }}
dt {{ font-weight: 600; margin-top: .75rem; }}
dd {{ margin: 0; color: #57606a; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #0d1117; color: #e6edf3; }}
 dd {{ color: #9198a1; }} a {{ color: #58a6ff; }} }}
</style>
</head>
<body>
<h1>{service}{version}</h1>
<p>{series} series are exposed here by botmetry.</p>
<dl>
<dt><a href="/metrics">/metrics</a></dt>
<dd>for Prometheus, as text or OpenMetrics; <code>?name[]=</code> shows single samples</dd>
<dt><a href="/healthz">/healthz</a></dt>
<dd>whether the process answers</dd>
<dt><a href="/readyz">/readyz</a></dt>
<dd>whether it can do its work: {checks}</dd>
</dl>
</body>
</html>
"""


def landing_page(service: str, version: str, series: int, checks: list[str]) -> str:
    """Return the page as HTML.

    Args:
        service: The observed program's name.
        version: Its version; may be empty.
        series: How many series it exposes now.
        checks: The names of its readiness checks.
    """
    return _PAGE.format(
        service=escape(service),
        version=f" {escape(version)}" if version else "",
        series=f"{series:,}",
        checks=escape(", ".join(checks)) if checks else "no checks are registered",
    )
