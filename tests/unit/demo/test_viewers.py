"""Loki, Promtail and Grafana join natively where they really are what they are called."""

from pathlib import Path

import pytest

from midas.demo.folder import DataFolder
from midas.demo.options import Ports
from midas.demo.viewers import Viewers, viewers_present


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a PATH with nothing on it but what a test puts there."""
    folder = tmp_path / "opt" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder: Path, name: str, says: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


def test_debians_program_for_genetics_is_not_taken_for_the_log_store(programs):
    """`loki` of the package loki is something else entirely, and Promtail has nobody to ship to then."""
    install(programs, "loki", "LOKI version 2.4.7: Markov chain Monte Carlo linkage analysis")
    install(programs, "promtail", "promtail, version 3.6.0 (branch: HEAD)")
    assert viewers_present() == {}


def test_all_three_join_with_the_repositorys_files_and_this_demos_folders(programs, tmp_path):
    """Configurations come from monitoring/ and grafana/; ports, data and logs are this demo's."""
    install(programs, "loki", "loki, version 3.6.0 (branch: HEAD)")
    install(programs, "promtail", "promtail, version 3.6.0 (branch: HEAD)")
    install(programs, "grafana-server", "Version 12.1.0 (commit: x, branch: HEAD)")
    (tmp_path / "opt" / "conf").mkdir()
    (tmp_path / "opt" / "conf" / "defaults.ini").write_text("")
    folder = DataFolder(tmp_path / "data")
    folder.take()

    loki, promtail, grafana = Viewers(Ports(loki=3111, grafana=3222), folder, viewers_present()).programs()

    assert "-server.http-listen-port=3111" in loki.command
    config = next(part for part in loki.command if part.startswith("-config.file="))
    assert Path(config.partition("=")[2]).is_file()
    for program in (loki, promtail, grafana):
        assert program.environ is not None
    assert promtail.environ["LOG_DIR"] == str(folder.logs)
    assert promtail.environ["LOKI_URL"] == "http://127.0.0.1:3111"
    assert grafana.environ["GF_SERVER_HTTP_PORT"] == "3222"
    assert Path(grafana.environ["GF_PATHS_PROVISIONING"], "datasources").is_dir()
    assert grafana.command[1] == f"--homepath={tmp_path / 'opt'}"
    folder.give_back()


def test_a_grafana_without_its_files_is_left_out(programs):
    """Without conf/defaults.ini it would not start."""
    install(programs, "grafana-server", "Version 12.1.0 (commit: x, branch: HEAD)")
    assert viewers_present() == {}
