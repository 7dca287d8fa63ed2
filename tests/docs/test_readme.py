"""What the README shows is run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
FIRST = next(program for program in PROGRAMS if "telemetry.serve(port=0)" in program)


def run(source: str, **options) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True, **options)


def test_every_program_runs_as_it_stands():
    """No example in the README is broken."""
    assert PROGRAMS
    for program in PROGRAMS:
        with run(program, stderr=subprocess.PIPE) as process:
            _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


def test_the_first_program_prints_a_url_whose_metrics_show_both_calls():
    """A command and an AI task, each decorated once, are counted, timed and logged."""
    waiting = FIRST.replace(
        "print(server.url)", "print(server.url, flush=True); await asyncio.to_thread(input)"
    )
    with run(waiting, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{url.rstrip('/')}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        _, logged = process.communicate("\n", timeout=120)
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["bot_requests_total", "balance", "ok"] == 1
    assert samples["ai_requests_total", "categorize", "deepseek-chat", "ok"] == 1
    assert samples["ai_confidence_ratio_sum", "categorize"] == 0.93
    assert '"event":"bot.request_handled"' in logged
    assert '"event":"ai.task_finished"' in logged
