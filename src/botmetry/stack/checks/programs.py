"""What Prometheus' and Alertmanager's own tools say, where they are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from botmetry.stack.checks.problem import Problem
from botmetry.stack.files import StackFiles
from botmetry.stack.native import render_native
from botmetry.stack.parts import program_called

__all__ = ["check_with_amtool", "check_with_promtool", "check_with_servers", "missing_programs"]

_LIMIT_SECONDS = 120.0
_LONGEST = 600
_LINE = re.compile(r"\bline (\d+):")
# group "bot", rule 1, "BotHighErrorRate": annotation "description": ...
_RULE = re.compile(r'rule \d+, "(\w+)": (?:annotation|label) "(\w+)"')
_QUOTED = re.compile(r'"([^"/]+)"')
_TEST = re.compile(r"^\s*name: (.+),$", re.MULTILINE)
_TEMPLATE_LINE = re.compile(r"template: ([\w.-]+):(\d+):")
_FIELD = re.compile(r"field (\w+) not found")
_DEFINED = re.compile(r'\{\{-?\s*define\s+"([^"]+)"')
# Programs that check their own configuration: its file, and how they are asked.
_SERVERS = {
    "loki": ("loki-config.yml", ("-verify-config", "-config.expand-env=true", "-config.file")),
    "promtail": ("promtail-config.yml", ("-check-syntax", "-config.expand-env=true", "-config.file")),
    "alloy": ("config.alloy", ("validate",)),
    "tempo": ("tempo-config.yml", ("-config.verify", "-config.file")),
}
# Secrets of the right form, so that every receiver is rendered and looked at; none of them opens anything.
_SAMPLES = {
    "telegram_bot_token": "1:sample",
    "telegram_chat_id": "-1001",
    "smtp_password": "sample",
    "alert_webhook_url": "http://127.0.0.1:9/alerts",
    "deadman_webhook_url": "http://127.0.0.1:9/alive",
}


def missing_programs() -> list[str]:
    """Return which of promtool and amtool are not on the PATH."""
    return [name for name in ("promtool", "amtool") if shutil.which(name) is None]


def check_with_promtool(files: StackFiles) -> Iterator[Problem]:
    """Yield what promtool finds in the configuration, the rules and their tests."""
    rules = [("check", "rules", path) for path in files.rules]
    # What is wrong in a rule file makes promtool fail in every file that includes it: once is enough.
    found = [problem for call in rules for problem in _run(["promtool", *call[:2], str(call[2])], call[2])]
    if found:
        yield from found
        return
    calls = [("check", "config", files.prometheus), *(("test", "rules", test) for test in files.rule_tests)]
    # A test that looks back days takes seconds of one core: several run at once.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for more in pool.map(lambda call: list(_run(["promtool", *call[:2], str(call[2])], call[2])), calls):
            yield from more


def check_with_amtool(files: StackFiles) -> Iterator[Problem]:
    """Yield what amtool finds in the Alertmanager configuration, rendered for a native run, and in its texts."""
    with tempfile.TemporaryDirectory() as folder:
        secrets = Path(folder) / "secrets"
        secrets.mkdir(mode=0o700)
        for name, text in _SAMPLES.items():
            (secrets / name).write_text(text, "utf-8")
        rendered = render_native(Path(folder) / "stack", targets={}, secrets=secrets, files=files)
        command = ["amtool", "check-config", str(rendered.alertmanager_config)]
        found = [_placed(files, problem) for problem in _run(command, files.alertmanager)]
    yield from found
    # A text that cannot be written is otherwise noticed when it is to be sent, and nothing is.
    yield from () if found else _texts(files)


def check_with_servers(files: StackFiles) -> Iterator[Problem]:
    """Yield what Loki, Promtail, Alloy and Tempo say of their own configurations, each where it is installed."""
    for name, (file, options) in _SERVERS.items():
        program, path = program_called(name, "--version", f"{name}, version"), files.monitoring / file
        if program is not None and path.is_file():
            yield from _run([program, *options, str(path)], path)


def _texts(files: StackFiles) -> Iterator[Problem]:
    for path in sorted(files.templates.glob("*.tmpl")):
        for name in _DEFINED.findall(path.read_text("utf-8")):
            text = f'{{{{ template "{name}" . }}}}'
            options = [f"--template.glob={files.templates}/*.tmpl", f"--template.text={text}"]
            for problem in _run(["amtool", "template", "render", *options], path):
                yield _placed(files, problem)


def _placed(files: StackFiles, problem: Problem) -> Problem:
    """Return what amtool said of a rendered file, or of a template, where that stands in the project's own."""
    template, field = _TEMPLATE_LINE.search(problem.message), _FIELD.search(problem.message)
    if template is not None and (files.templates / template[1]).is_file():
        return replace(problem, path=files.templates / template[1], line=int(template[2]))
    lines = problem.path.read_text("utf-8").splitlines()
    line = next((number for number, text in enumerate(lines, start=1) if field and field[1] in text), 1)
    return replace(problem, line=line)


def _run(command: Sequence[str], path: Path) -> Iterator[Problem]:
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs with files of the project
            command, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        yield Problem(path, 1, f"{command[0]} did not finish in {_LIMIT_SECONDS:g} s")
        return
    if done.returncode:
        said = f"{done.stdout}\n{done.stderr}".strip()
        short = " | ".join(part.strip() for part in said.splitlines() if part.strip())
        more = f"… (run {' '.join(command)})" if len(short) > _LONGEST else ""
        yield Problem(path, _line(path, said), f"{_called(command)}: {short[:_LONGEST]}{more}")


def _called(command: Sequence[str]) -> str:
    return " ".join(
        [Path(command[0]).name, *(word for word in command[1:3] if not word.startswith(("/", "-")))]
    )


def _line(path: Path, said: str) -> int:
    """Return the line that a program speaks of: by number, by the name of a rule or a test, or by what it quotes."""
    numbered = _LINE.search(said) or re.search(rf"{re.escape(path.name)}:(\d+):", said)
    if numbered is not None:
        return int(numbered[1])
    lines = path.read_text("utf-8").splitlines()
    rule, test = _RULE.search(said), _TEST.search(said)
    if rule is not None:
        after = next((at for at, line in enumerate(lines) if line.split()[-1:] == [rule[1]]), 0)
        return next((at + 1 for at in range(after, len(lines)) if f"{rule[2]}:" in lines[at]), after + 1)
    tokens = [test[1]] if test is not None else _QUOTED.findall(said)
    return next((at for at, line in enumerate(lines, start=1) for token in tokens if token in line), 1)
