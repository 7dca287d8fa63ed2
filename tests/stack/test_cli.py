"""The command line of botmetry."""

import json
import subprocess
import sys

import pytest

from botmetry import cli
from botmetry.metrics import CATALOGUE
from botmetry.stack.files import StackFiles


def test_metrics_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON has every metric with its type, labels, unit, buckets and family."""
    assert cli.main(["metrics", "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [metric["name"] for metric in printed] == list(CATALOGUE)
    duration = next(metric for metric in printed if metric["name"] == "ai_request_duration_seconds")
    assert (duration["type"], duration["labels"], duration["unit"]) == (
        "histogram",
        ["task", "model"],
        "seconds",
    )
    assert 10.0 in duration["buckets"]


@pytest.mark.parametrize("layout", ["text", "markdown"])
def test_metrics_for_people(layout: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each metric has exactly one line, with its help."""
    assert cli.main(["metrics", "--format", layout]) == 0
    lines = capsys.readouterr().out.splitlines()
    for spec in CATALOGUE.values():
        assert (
            len([line for line in lines if spec.help in line and spec.name in line.replace("`", " ").split()])
            == 1
        )


def test_render_writes_what_is_missing(copy: StackFiles, capsys: pytest.CaptureFixture[str]) -> None:
    """`render --check` names what differs and exits with 1; `render` writes it, and then nothing differs."""
    project = ["--project", str(copy.root)]
    (copy.dashboards / "botmetry-ai.json").unlink()
    (copy.dashboards / "old.json").write_text("{}", "utf-8")
    assert cli.main(["render", "--check", *project]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "grafana/dashboards/botmetry-ai.json:1: differs from what is generated; run `botmetry render`",
        "grafana/dashboards/old.json:1: differs from what is generated; run `botmetry render`",
    ]
    assert cli.main(["render", *project]) == 0
    assert cli.main(["render", "--check", *project]) == 0
    assert not (copy.dashboards / "old.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["metric"], "invalid choice: 'metric'"),
        (["metrics", "--format", "xml"], "invalid choice: 'xml'"),
        (["check", "--project", "/nowhere"], "/nowhere holds no monitoring/prometheus.yml"),
    ],
)
def test_wrong_calls(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong call ends with exit code 2 and says in one line what is wrong."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_missing_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the libraries of the stack, `check` is one line with the pip command."""
    for name in [name for name in sys.modules if name.startswith(("botmetry.stack", "yaml"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert cli.main(["check"]) == 2
    assert "pip install 'botmetry[stack]'" in capsys.readouterr().err


def test_programs_that_are_missing_are_said(
    files: StackFiles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without promtool and amtool the rest is checked, and what was left out is said."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert cli.main(["check", "--project", str(files.root)]) == 0
    captured = capsys.readouterr()
    assert "promtool is not on the PATH" in captured.err
    assert "amtool is not on the PATH" in captured.err


def test_metrics_imports_no_library_of_the_stack() -> None:
    """Printing the catalogue loads neither the dashboard SDK nor a parser."""
    program = (
        "import sys; from botmetry.cli import main; main(['metrics']); "
        "sys.exit(any(name in sys.modules for name in ('yaml', 'promql_parser', 'grafana_foundation_sdk', 'aiohttp')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_is_no_error() -> None:
    """`botmetry metrics | head -1` prints a line and no complaint."""
    command = f"{sys.executable} -m botmetry.cli metrics --format json | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[\n", "")
