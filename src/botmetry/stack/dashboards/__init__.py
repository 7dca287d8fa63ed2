"""The dashboards, one function each; the order is that of Grafana's folder."""

from __future__ import annotations

from botmetry.stack.dashboards.ai import ai
from botmetry.stack.dashboards.board import Board
from botmetry.stack.dashboards.jobs import jobs
from botmetry.stack.dashboards.logs import logs
from botmetry.stack.dashboards.overview import overview
from botmetry.stack.dashboards.queues import queues
from botmetry.stack.dashboards.sagas import sagas
from botmetry.stack.dashboards.service_levels import service_levels
from botmetry.stack.dashboards.stores import database, redis
from botmetry.stack.dashboards.telemetry import telemetry
from botmetry.stack.rulebook import Rulebook

__all__ = ["boards"]


def boards(rules: Rulebook) -> tuple[Board, ...]:
    """Build every dashboard; thresholds come from `rules`.

    Raises:
        StackError: A panel names a metric, label or alert that does not exist.
    """
    return tuple(
        build(rules)
        for build in (overview, service_levels, ai, queues, sagas, jobs, database, redis, telemetry, logs)
    )
