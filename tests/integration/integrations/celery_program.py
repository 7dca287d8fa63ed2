"""A program with background jobs, as the tests' workers and beats run it: `celery -A celery_program worker`."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from celery import Celery
from celery.signals import worker_init

from botmetry import LogSettings, Telemetry
from botmetry.integrations.celery import instrument

FOLDER = Path(os.environ["JOBS_FOLDER"])

telemetry = Telemetry("shop-jobs", prefork=True, log=LogSettings(output=str(FOLDER / "jobs.jsonl")))
app = Celery("jobs", broker=os.environ["JOBS_BROKER"])
app.conf.update(
    task_default_queue="default",
    task_ignore_result=True,
    beat_schedule={"tidy-up": {"task": "add", "schedule": 0.2, "args": (1, 1)}},
)
instrument(app, telemetry)


@worker_init.connect
def serve(**_):
    """Serve the numbers of the whole pool from its parent."""
    server = telemetry.serve_in_thread(port=0)
    (FOLDER / "url.part").write_text(server.url)
    (FOLDER / "url.part").rename(FOLDER / "url")


@app.task(name="add")
def add(one, other):
    """Do something, and say so in the log."""
    telemetry.log.info("sum.made", total=one + other)
    return one + other


@app.task(name="fail")
def fail():
    """Go wrong."""
    raise ValueError("the shop is closed")


@app.task(name="once_more", bind=True, max_retries=1)
def once_more(self):
    """Work at the second attempt."""
    if self.request.retries == 0:
        raise self.retry(countdown=0, exc=OSError("not yet"))


@app.task(name="hang")
def hang(name):
    """Say which process this is, and never end."""
    (FOLDER / f"{name}.part").write_text(str(os.getpid()))
    (FOLDER / f"{name}.part").rename(FOLDER / name)
    threading.Event().wait()


@app.task(name="too_long", time_limit=1)
def too_long():
    """Run into the time at which the pool kills the child."""
    threading.Event().wait()
