"""Generated files beside the dashboards: the pages about logs and sizes, and Prometheus past one machine."""

from __future__ import annotations

import re
from pathlib import Path

from botmetry.errors import StackError
from botmetry.stack.files import StackFiles
from botmetry.stack.log_page import render_log_page
from botmetry.stack.scale import render_scale_prometheus
from botmetry.stack.sizing_page import render_sizing_page

__all__ = ["pages"]


def pages(files: StackFiles, project: str) -> dict[Path, str]:
    """Return the content of each page by its path; `project` is the name that log lines carry.

    Raises:
        StackError: `monitoring/prometheus.yml` is missing or has lost a place that the replicas' version changes.
    """
    made = {
        files.monitoring / "LOGS.md": re.sub(r"\bmidas\b", project, render_log_page()),
        files.monitoring / "SIZING.md": render_sizing_page(),
    }
    scale = files.monitoring / "scale"
    if scale.is_dir():
        made[scale / "prometheus.yml"] = render_scale_prometheus(_read(files.prometheus))
    return made


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise StackError(f"{path}: {error.strerror}") from error
