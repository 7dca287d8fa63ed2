"""What the stack's own programs say of their configurations is told once, where it stands."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from botmetry.stack.checks.programs import check_with_promtool, check_with_servers
from botmetry.stack.files import StackFiles

# What is put in the place of what in alerts.yml, and what promtool says.
FOUND_BY_PROMTOOL = {
    "a duration": ("        for: 10m\n", "        for: ten\n", "not a valid duration"),
    "a key": (
        "        keep_firing_for: 5m\n",
        "        keep_fire_for: 5m\n",
        "field keep_fire_for not found",
    ),
    "a template": ("{{ $labels.queue }} (limit", "{{ $labels.queue } (limit", "unexpected"),
    "a function": (
        "humanizePercentage }} of the answers",
        "humanisePercentage }} of the answers",
        "humanisePercentage",
    ),
}
# Stands in for Loki and the like, which are not in Debian: says its name, and what it thinks of its last argument.
PROGRAM = """\
#!/bin/sh
name=$(basename "$0")
[ "$1" = --version ] && echo "$name, version 3.7.6 (branch: HEAD)" && exit
echo "$@" >> {calls}
for path; do :; done
grep -q wrong "$path" || exit 0
echo "failed parsing config: $path: yaml: unmarshal errors: line 7: field wrong not found in type $name.Config" >&2
exit 1
"""
SERVERS = {
    "loki": ("loki-config.yml", "-verify-config"),
    "promtail": ("promtail-config.yml", "-check-syntax"),
    "alloy": ("config.alloy", "validate"),
    "tempo": ("tempo-config.yml", "-config.verify"),
}


@pytest.mark.parametrize("name", FOUND_BY_PROMTOOL)
def test_a_fault_of_a_rule_is_told_once(copy: StackFiles, program: Callable[[str], str], name: str) -> None:
    """At its line in the rule file, and not again for each file that includes the rules."""
    program("promtool")
    old, new, said = FOUND_BY_PROMTOOL[name]
    text = copy.alerts.read_text("utf-8")
    copy.alerts.write_text(text.replace(old, new, 1), "utf-8")
    (problem,) = check_with_promtool(copy)
    assert said in problem.message
    line = text[: text.index(old)].count("\n") + 1
    told = text.splitlines()[problem.line - 1]
    assert problem.path == copy.alerts
    assert problem.line == line or (line - problem.line <= 2 and "description:" in told)


@pytest.mark.parametrize("name", SERVERS)
def test_a_program_that_is_installed_is_asked(
    copy: StackFiles, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Loki, Promtail, Alloy and Tempo check their own configurations, and what they find has its line."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / name).write_text(PROGRAM.format(calls=folder / "calls"), "utf-8")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin:/bin")
    file, option = SERVERS[name]
    path = copy.monitoring / file
    assert list(check_with_servers(copy)) == []
    asked = Path(folder / "calls").read_text("utf-8").split()
    assert option in asked
    assert asked[-1] == str(path)
    path.write_text(path.read_text("utf-8") + "wrong: 1\n", "utf-8")
    (problem,) = check_with_servers(copy)
    assert (problem.path, problem.line) == (path, 7)
    assert problem.message.startswith(f"{name}")


def test_a_program_of_the_same_name_is_not_asked(
    copy: StackFiles, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's loki is about genetics."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "loki").write_text("#!/bin/sh\nexit 1\n", "utf-8")
    (folder / "loki").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin:/bin")
    assert list(check_with_servers(copy)) == []
