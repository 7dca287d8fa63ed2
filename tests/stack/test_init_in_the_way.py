"""What is in the way of `botmetry init`, and a folder that has no stack of its own."""

from pathlib import Path

import pytest

from botmetry import cli


def _folder_for_a_file(project: Path) -> None:
    (project / "monitoring" / "slo.yml").mkdir(parents=True)


def _file_for_a_folder(project: Path) -> None:
    (project / "monitoring").mkdir(parents=True)
    (project / "monitoring" / "runbooks").touch()


def _link_to_nowhere(project: Path) -> None:
    project.mkdir()
    (project / "grafana").symlink_to(project / "gone")


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize("obstacle", [_folder_for_a_file, _file_for_a_folder, _link_to_nowhere])
def test_nothing_is_written_beside_what_cannot_be_replaced(
    tmp_path: Path, obstacle: object, force: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder where a file belongs, or the other way round, is one clear line, and nothing was changed."""
    assert callable(obstacle)
    project = tmp_path / "shop"
    obstacle(project)
    before = sorted(project.rglob("*"))
    assert cli.main(["init", str(project), "--service", "shop-bot=8000", *force]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize("name", ["null", "true", "off"])
def test_a_name_that_yaml_takes_for_something_else(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service that would have no label, or another one, is refused."""
    assert cli.main(["init", str(tmp_path), "--service", f"{name}=8000"]) == 2
    assert f"'{name}' cannot be a service's name: it means something else in YAML" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["check"], ["render"], ["render", "--check"], ["render", "kubernetes"]])
def test_another_projects_stack_is_not_taken_for_ours(
    tmp_path: Path,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a folder without a stack no command says that botmetry's own is clean, or writes into it."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "have no monitoring/prometheus.yml; run: botmetry init" in captured.err
