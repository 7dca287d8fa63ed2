"""Files that cannot be read, and those that a project has made its own: told in one line, where it stands."""

from pathlib import Path

import pytest
import yaml

from botmetry import cli
from botmetry.stack.check import check_stack
from botmetry.stack.files import StackFiles

CONFIGURATIONS = [
    "monitoring/prometheus.yml",
    "monitoring/alertmanager.yml",
    "monitoring/alerts.yml",
    "monitoring/recording.yml",
    "monitoring/slo.yml",
    "monitoring/metrics.yml",
    "monitoring/tests/saga.yml",
    "monitoring/loki-rules/fake/alerts.yml",
    "monitoring/loki-config.yml",
    "monitoring/promtail-config.yml",
    "monitoring/tempo-config.yml",
    "monitoring/scale/loki.yml",
    "grafana/provisioning/datasources/datasources.yml",
    "docker-compose.monitoring.yml",
]
JOB = """
  - job_name: shop
    static_configs:
      - targets: ["host.docker.internal:8002"]
        labels:
          service: shop
"""


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_broken_yaml_is_one_line_with_file_and_line(
    copy: StackFiles, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever file it is, and without the help of any other program."""
    monkeypatch.setenv("PATH", "")
    path = copy.root / name
    text = path.read_text("utf-8")
    path.write_text(f"{text}broken: [\n", "utf-8")
    last = text.count("\n") + 1
    assert cli.main(["check", "--project", str(copy.root)]) != 0
    said = [line for stream in capsys.readouterr() for line in stream.splitlines()]
    assert any(f"{name}:{at}: " in line for line in said for at in (last, last + 1)), said
    assert len([line for line in said if name in line]) == 1, said


def test_a_job_of_ones_own(copy: StackFiles) -> None:
    """A job added at the end of prometheus.yml, where people add it, is found past one machine too."""
    with copy.prometheus.open("a") as file:
        file.write(JOB)
    assert cli.main(["render", "--project", str(copy.root)]) == 0
    scaled = (copy.monitoring / "scale" / "prometheus.yml").read_text("utf-8")
    assert JOB in scaled
    assert scaled.index("job_name: shop") < scaled.index("\nremote_write:")
    assert check_stack(copy, programs=False).problems == ()


@pytest.mark.parametrize("spaces", ["", "  "])
def test_an_own_remote_write(copy: StackFiles, spaces: str) -> None:
    """A project that writes its samples somewhere does so past one machine too, and into Mimir."""
    entry = f"{spaces}- url: https://prometheus.example.com/api/v1/push\n{spaces}  name: mine\n"
    with copy.prometheus.open("a") as file:
        file.write(f"\nremote_write:\n  # To a friend.\n{entry}")
    assert cli.main(["render", "--project", str(copy.root)]) == 0
    scaled = yaml.safe_load((copy.monitoring / "scale" / "prometheus.yml").read_text("utf-8"))
    assert [target["name"] for target in scaled["remote_write"]] == ["mimir", "mine"]


def test_what_the_file_of_the_replicas_lacks(copy: StackFiles) -> None:
    """A place that prometheus.yml has lost is a problem of that file, which says what is missing and what to do."""
    text = copy.prometheus.read_text("utf-8")
    copy.prometheus.write_text(
        text.replace("      - { names: [promtail], type: A, port: 9080 }\n", ""), "utf-8"
    )
    (problem,) = check_stack(copy, programs=False).problems
    assert problem.path == copy.prometheus
    assert "no names [loki] and [promtail] in job stack" in problem.message
    assert "delete monitoring/scale" in problem.message


def test_an_alert_that_lost_its_threshold(copy: StackFiles) -> None:
    """It is told at the alert, not at the head of the file."""
    text = copy.alerts.read_text("utf-8")
    copy.alerts.write_text(
        text.replace("rate(bot_errors_total[5m])) > 0.1", "rate(bot_errors_total[5m]))"), "utf-8"
    )
    line = text[: text.index("- alert: BotHighErrorRate")].count("\n") + 1
    (problem,) = (
        problem for problem in check_stack(copy, programs=False).problems if "generated" in problem.message
    )
    assert (problem.path, problem.line) == (Path(copy.alerts), line)
    assert "BotHighErrorRate compares nothing with a number" in problem.message
