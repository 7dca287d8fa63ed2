"""`midas setup` installs what is missing without starting a service, and never fails the demo."""

import os
import stat
from pathlib import Path

import pytest

from midas.demo import system_packages
from midas.demo.system_packages import missing_packages, missing_watchers, set_up

# Stands in for the distribution's program: notes its arguments and whether services were forbidden while it ran.
APT_GET = """#!/bin/sh
echo "$DEBIAN_FRONTEND $*" >> {notes}
cat {policy} >> {notes}
echo "E: no network"
exit {code}
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Give a machine of its own: a PATH, an apt-get, a policy file, no systemd, and root."""
    programs = tmp_path / "bin"
    programs.mkdir()
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin-that-is-not-there")
    monkeypatch.setattr(system_packages, "_POLICY", policy)
    monkeypatch.setattr(system_packages, "_SYSTEMD", tmp_path / "no-systemd")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for program in ("cat",):
        (programs / program).symlink_to(f"/bin/{program}")
    return tmp_path


def install_apt(machine: Path, code: int = 0) -> Path:
    notes = machine / "notes"
    executable(
        machine / "bin" / "apt-get", APT_GET.format(notes=notes, policy=machine / "policy-rc.d", code=code)
    )
    return notes


def executable(path: Path, text: str = "#!/bin/sh\n") -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_everything_missing_is_installed_without_questions_while_services_are_forbidden(machine):
    """apt-get updates and installs the three packages non-interactively, and policy-rc.d says no meanwhile."""
    notes = install_apt(machine)
    said: list[str] = []
    set_up(said.append)
    written = notes.read_text()
    assert "noninteractive -q -o DPkg::Lock::Timeout=60 update" in written
    assert "install --yes --no-install-recommends prometheus prometheus-alertmanager redis-server" in written
    assert written.count("exit 101") == 2
    assert not (machine / "policy-rc.d").exists()
    assert said[-1] == "system packages installed: prometheus, prometheus-alertmanager, redis-server"


def test_an_administrators_policy_is_put_back(machine):
    """What was in policy-rc.d before is there afterwards, also when apt-get fails."""
    policy = machine / "policy-rc.d"
    executable(policy, "#!/bin/sh\nexit 7\n")
    for code in (0, 100):
        install_apt(machine, code)
        set_up(lambda _: None)
        assert policy.read_text() == "#!/bin/sh\nexit 7\n"
        assert policy.stat().st_mode & stat.S_IXUSR


def test_a_policy_left_by_a_killed_setup_is_removed(machine):
    """A set-up that was killed in the middle does not forbid services for ever."""
    (machine / "policy-rc.d").write_text(system_packages._FORBID)
    install_apt(machine)
    set_up(lambda _: None)
    assert not (machine / "policy-rc.d").exists()


def test_a_failing_apt_get_is_said_and_the_demo_goes_on(machine):
    """No exception, one line with apt-get's own words."""
    install_apt(machine, code=100)
    said: list[str] = []
    set_up(said.append)
    assert said[-1] == (
        "system packages could not be installed (apt-get update: E: no network); the demo goes on without them"
    )


def test_without_root_the_exact_command_is_printed_and_nothing_is_touched(machine, monkeypatch):
    """Who may not install is told what to type."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    notes = install_apt(machine)
    executable(machine / "bin" / "redis-server")
    said: list[str] = []
    set_up(said.append)
    assert len(said) == 1
    assert "sudo apt-get install --no-install-recommends prometheus prometheus-alertmanager" in said[0]
    assert not notes.exists()


def test_nothing_missing_means_nothing_done(machine):
    """With all programs there, apt-get is not called."""
    notes = install_apt(machine)
    for program in ("prometheus", "promtool", "prometheus-alertmanager", "redis-server"):
        executable(machine / "bin" / program)
    set_up(lambda _: None)
    assert missing_packages() == missing_watchers() == []
    assert not notes.exists()


def test_redis_is_no_watcher(machine):
    """The demo has a Redis of its own to fall back to, so only Prometheus and Alertmanager are missed."""
    assert "redis" not in missing_watchers()[0]
