"""Promtail and Alloy do the same to every line: compared stage by stage, tried on lines that programs really write."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from botmetry import LogSettings, Telemetry
from botmetry.stack.checks.logql import METADATA, STREAM_LABELS
from botmetry.stack.files import find_stack

FILES = find_stack(Path(__file__))
PROMTAIL_TEXT = (FILES.monitoring / "promtail-config.yml").read_text("utf-8")
PROMTAIL: dict[str, Any] = yaml.safe_load(PROMTAIL_TEXT)
JOBS = {job["job_name"]: job for job in PROMTAIL["scrape_configs"]}
EVERY = pytest.mark.parametrize("job", JOBS)


def attributes(body: list[tuple[Any, ...]]) -> dict[str, Any]:
    return {entry[0]: entry[1] for entry in body if len(entry) == 2}


class Alloy:
    """Alloy's language as far as config.alloy uses it: blocks, attributes, expressions of texts, lists and objects."""

    _TOKEN = re.compile(r'\s+|//[^\n]*|("(?:[^"\\]|\\.)*"|`[^`]*`|[\w.]+|[{}\[\](),=+])')

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        place = 0
        while place < len(text):
            found = self._TOKEN.match(text, place)
            assert found is not None, f"nothing of Alloy's language: {text[place : place + 40]!r}"
            place = found.end()
            if found[1]:
                self._tokens.append(found[1])
        self._at = 0
        self.blocks = list(self._body())
        assert self._at == len(self._tokens), "a brace too many"

    def body(self, kind: str, label: str) -> list[tuple[Any, ...]]:
        (found,) = [body for name, own, body in self.blocks if (name, own) == (kind, label)]
        return found

    def stages(self, label: str) -> list[tuple[str, Any]]:
        return self._stages(self.body("loki.process", label))

    def _stages(self, body: list[tuple[Any, ...]]) -> list[tuple[str, Any]]:
        made: list[tuple[str, Any]] = []
        for key, *_, value in body:
            if not key.startswith("stage."):
                continue
            name, inner = key.removeprefix("stage."), attributes(value)
            if name == "match":
                inner = {"selector": inner["selector"], "stages": self._stages(value)}
            elif name in {"labels", "structured_metadata", "static_labels"}:
                inner = inner["values"]
            made.append((name, inner["values"] if name == "label_drop" else inner))
        return made

    def _next(self, wanted: str = "") -> str:
        token = self._tokens[self._at]
        assert not wanted or token == wanted, f"{wanted} expected, {token} found"
        self._at += 1
        return token

    def _body(self) -> Iterator[tuple[Any, ...]]:
        while self._at < len(self._tokens) and self._tokens[self._at] != "}":
            name, label = self._next(), ""
            if self._tokens[self._at] == "=":
                self._next("=")
                yield name, self._sum()
                continue
            if self._tokens[self._at] != "{":
                label = self._next().strip('"')
            self._next("{")
            inner = list(self._body())
            self._next("}")
            yield name, label, inner

    def _sum(self) -> Any:
        value = self._term()
        while self._at < len(self._tokens) and self._tokens[self._at] == "+":
            self._next("+")
            value += self._term()
        return value

    def _term(self) -> Any:
        token = self._next()
        if token[0] in '"`':
            return json.loads(token) if token[0] == '"' else token[1:-1]
        if token == "[":
            return list(self._until("]", self._sum))
        if token == "{":
            return dict(self._until("}", self._entry))
        if self._at < len(self._tokens) and self._tokens[self._at] == "(":
            self._next("(")
            given = list(self._until(")", self._sum))
            # Written as Promtail writes it, so that the two can be compared.
            return {"sys.env": f"${{{given[0]}", "coalesce": f"{given[0]}:-{given[-1]}}}"}[token]
        return token

    def _entry(self) -> tuple[str, Any]:
        name = self._next().strip('"')
        self._next("=")
        return name, self._sum()

    def _until(self, end: str, read: Any) -> Iterator[Any]:
        while self._tokens[self._at] != end:
            yield read()
            if self._tokens[self._at] == ",":
                self._next(",")
        self._next(end)


ALLOY = Alloy((FILES.monitoring / "config.alloy").read_text("utf-8"))


def _stages(stages: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Promtail's stages in the words of Alloy's."""
    made: list[tuple[str, Any]] = []
    for stage in stages:
        ((name, value),) = stage.items()
        if name == "match":
            value = {"selector": value["selector"], "stages": _stages(value["stages"])}
        elif name in {"labels", "structured_metadata"}:
            value = {key: source or "" for key, source in value.items()}
        elif name == "multiline":
            value = {key: str(setting) for key, setting in value.items()}
        made.append(("label_drop" if name == "labeldrop" else name, value))
    return made


@EVERY
def test_stages_are_the_same(job: str) -> None:
    """Both agents put a line through the same stages in the same order, with the same settings."""
    promtail, alloy = _stages(JOBS[job]["pipeline_stages"]), ALLOY.stages(job)
    assert [name for name, _ in alloy] == [name for name, _ in promtail]
    for ours, theirs in zip(alloy, promtail, strict=True):
        assert ours == theirs


@EVERY
def test_files_and_labels_are_the_same(job: str) -> None:
    """Both read the same files and give them the same labels."""
    (config,) = JOBS[job]["static_configs"]
    source = attributes(ALLOY.body("loki.source.file", job))
    assert source["targets"] == [config["labels"]]
    assert source["forward_to"] == [f"loki.process.{job}.receiver"]


def test_lines_go_to_the_same_place() -> None:
    """Both push to the same address, as often, and give up after the same number of attempts."""
    (client,) = PROMTAIL["clients"]
    backoff = client["backoff_config"]
    ((_, _, endpoint),) = ALLOY.body("loki.write", "loki")
    assert attributes(endpoint) == {
        "url": client["url"],
        "batch_wait": client["batchwait"],
        "min_backoff_period": backoff["min_period"],
        "max_backoff_period": backoff["max_period"],
        "max_backoff_retries": str(backoff["max_retries"]),
    }


def test_labels_are_those_that_queries_are_checked_against() -> None:
    """What `botmetry check` takes for labels and for metadata is what the agents make."""
    structured = dict(_stages(JOBS["structured"]["pipeline_stages"]))
    fixed = {label for job in JOBS.values() for label in job["static_configs"][0]["labels"]} - {"__path__"}
    assert set(structured["labels"]) == {"service", "level"}
    assert structured["structured_metadata"].keys() == METADATA
    # Loki adds the other two.
    assert fixed | set(structured["labels"]) == STREAM_LABELS - {"service_name", "detected_level"}


def test_otlp_records_get_the_labels_of_lines() -> None:
    """A record over OTLP gets job, service and level as resource attributes, which Loki makes labels of."""
    statements = "\n".join(
        line
        for name, *_, body in ALLOY.body("otelcol.processor.transform", "labels")
        if name == "log_statements"
        for line in attributes(body)["statements"]
    )
    for label in ("job", "service", "level"):
        assert f'set(attributes["{label}"]' in statements
    assert dict(JOBS["structured"]["static_configs"][0]["labels"])["job"] in statements
    assert attributes(ALLOY.body("otelcol.processor.groupbyattrs", "level"))["keys"] == ["level"]
    loki = yaml.safe_load((FILES.monitoring / "loki-config.yml").read_text("utf-8"))
    (indexed,) = loki["limits_config"]["otlp_config"]["resource_attributes"]["attributes_config"]
    assert indexed["action"] == "index_label"
    assert {"job", "service", "level"} <= set(indexed["attributes"])
    assert len(indexed["attributes"]) < loki["limits_config"]["max_label_names_per_series"]


def test_every_way_through_alloy_ends_somewhere() -> None:
    """Each component that another one sends to exists."""
    text = re.sub(r"//[^\n]*", "", (FILES.monitoring / "config.alloy").read_text("utf-8"))
    named = set(re.findall(r"((?:loki|otelcol)\.[\w.]+)\.(?:receiver|input)\b", text))
    assert len(named) > 6
    assert named <= {f"{kind}.{own}" for kind, own, *_ in ALLOY.blocks}


def test_positions_survive() -> None:
    """How far a file was read is kept in a volume by both, so that a restart repeats and loses nothing."""
    services = yaml.safe_load(FILES.compose.read_text("utf-8"))["services"]
    assert PROMTAIL["positions"]["filename"] == "${PROMTAIL_DATA:-/var/lib/promtail}/positions.yml"
    assert "promtail:/var/lib/promtail" in services["promtail"]["volumes"]
    assert "--storage.path=/var/lib/alloy/data" in services["alloy"]["command"]
    assert "alloy:/var/lib/alloy/data" in services["alloy"]["volumes"]


@EVERY
def test_rotated_files_are_not_read_twice(job: str) -> None:
    """The pattern takes the file that is written, and neither its numbered nor its packed predecessors."""
    pattern = JOBS[job]["static_configs"][0]["labels"]["__path__"].rpartition("/")[2]
    suffix = pattern.removeprefix("*")
    assert Path(f"midas-bot{suffix}").match(pattern)
    for rotated in (f"midas-bot{suffix}.1", f"midas-bot{suffix}.2.gz", f"midas-bot{suffix}-20261122"):
        assert not Path(rotated).match(pattern)


def test_promtail_survives_the_expansion_of_variables() -> None:
    """No backslash stands in the file: expanding variables would take one of two away."""
    assert "\\" not in PROMTAIL_TEXT


async def test_a_line_of_a_program_becomes_labels_and_metadata(tmp_path: Path) -> None:
    """A line that botmetry really writes has the fields that the stages take, and its time can be read."""
    path = tmp_path / "shop.jsonl"
    telemetry = Telemetry(service="shop", log=LogSettings(output=str(path)))
    with telemetry.context(user_id=7, task_id="t-1"), telemetry.bot.command("balance"):
        pass
    telemetry.close()
    fields = json.loads(path.read_text("utf-8").splitlines()[-1])
    stages = dict(_stages(JOBS["structured"]["pipeline_stages"]))
    assert stages["json"]["expressions"] == {name: name for name in stages["json"]["expressions"]}
    taken = {name: fields[name] for name in stages["json"]["expressions"] if fields.get(name) is not None}
    assert {name: taken[name] for name in stages["labels"]} == {"service": "shop", "level": "info"}
    metadata = {name: taken[name] for name in stages["structured_metadata"] if name in taken}
    assert metadata.keys() >= {"event", "trace_id", "span_id", "user_id", "task_id", "command", "outcome"}
    assert (metadata["event"], metadata["command"], metadata["outcome"]) == (
        "bot.request_handled",
        "balance",
        "ok",
    )
    assert stages["timestamp"] == {"source": "timestamp", "format": "RFC3339Nano"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", taken["timestamp"])


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("midas-bot.log", "midas-bot"),
        ("midas-worker-2.log", "midas-worker"),
        ("midas-worker.log", "midas-worker"),
    ],
)
def test_a_log_belongs_to_its_service(name: str, service: str) -> None:
    """The service of a plain log is read from its name, without the number of the process."""
    stage = dict(_stages(JOBS["plain"]["pipeline_stages"]))["regex"]
    assert stage["source"] == "filename"
    match = re.search(stage["expression"], f"/var/log/midas/{name}")
    assert match is not None
    assert match["service"] == service


PLAIN = "def f(): raise KeyError('a')\nf()"
CHAINED = "try: {}['a']\nexcept KeyError as error: raise ValueError('two\\nlines') from error"
GROUP = "raise ExceptionGroup('several', [ValueError('1'), KeyError('2')])"


@pytest.mark.parametrize(("program", "entries"), [(PLAIN, 1), (CHAINED, 2), (GROUP, 1)])
def test_a_traceback_is_one_entry(program: str, entries: int) -> None:
    """A traceback that Python really prints stays whole, a group's too; of a chain each is one, and all are errors."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    stages = dict(_stages(JOBS["plain"]["pipeline_stages"]))
    first = re.compile(stages["multiline"]["firstline"])
    lines = ["2026-11-22 10:00:00 listening", *done.stderr.splitlines(), "WARNING: port taken"]
    made: list[list[str]] = []
    for line in lines:
        if first.match(line):
            made.append([])
        made[-1].append(line)
    assert made[0][0].endswith("listening")
    assert made[-1] == ["WARNING: port taken"]
    tracebacks = ["\n".join(entry) for entry in made[1:-1]]
    assert len(tracebacks) == entries
    sought = re.search(r'\|= "([^"]+)"', stages["match"]["selector"])
    assert sought is not None
    assert all(sought[1] in text for text in tracebacks)
    assert stages["match"]["stages"] == [("static_labels", {"level": "error"})]
