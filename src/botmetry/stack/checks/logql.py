"""LogQL as far as the stack uses it: whether an expression can be parsed, and whether its labels exist.

Streams are chosen by few labels, and what has many values is structured metadata; a query that confuses the two, or
misspells one, finds nothing and says nothing. Which is which is set by the agents' configurations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["METADATA", "STREAM_LABELS", "examine_logql", "foreign_jobs", "ranges_of"]

STREAM_LABELS = frozenset({"job", "service", "level", "stream", "service_name", "detected_level"})
"""What chooses a stream: see monitoring/promtail-config.yml and config.alloy; Loki adds the last two itself."""

METADATA = frozenset(
    {"event", "trace_id", "span_id", "user_id", "task_id", "task_type", "command", "outcome"}
)
"""What a line carries beside its text, and is asked for behind a `|`."""

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*
    |(?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)
    |(?P<number>\d+(?:\.\d+)?(?:[a-zµ]+\d*)*)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign>\|=|\|~|\|>|!=|!~|!>|=~|==|>=|<=|[|={}()\[\],:<>+\-*/%^])
    |(?P<wrong>.)""",
    re.VERBOSE | re.DOTALL,
)
_RANGE = re.compile(r"\[\s*([^\]\s]+)\s*\]")
_VARIABLE = re.compile(r"\$\{?\w+\}?")
_LINE_FILTERS = frozenset({"|=", "|~", "|>", "!=", "!~", "!>"})
_MATCHERS = frozenset({"=", "!=", "=~", "!~"})
_COMPARISONS = _MATCHERS | {"==", ">", ">=", "<", "<="}
_OPERATORS = frozenset(
    {"+", "-", "*", "/", "%", "^", "==", "!=", ">", ">=", "<", "<=", "and", "or", "unless"}
)
_AGGREGATES = frozenset({"sum", "avg", "min", "max", "count", "stddev", "stdvar", "topk", "bottomk", "sort"})
_RANGE_FUNCTIONS = frozenset(
    {"rate", "count_over_time", "bytes_rate", "bytes_over_time", "absent_over_time", "sum_over_time"}
    | {"avg_over_time", "max_over_time", "min_over_time", "quantile_over_time", "first_over_time"}
    | {"last_over_time", "stddev_over_time", "stdvar_over_time", "rate_counter"}
)
_BARE_STAGES = frozenset({"unpack", "decolorize"})
_STAGES_OF_A_TEXT = frozenset({"line_format", "pattern", "regexp"})


def examine_logql(expr: str) -> list[str]:
    """Return what is wrong with a LogQL expression, Grafana's variables in it being anything."""
    try:
        reader = _Reader(_VARIABLE.sub("1m", expr))
        reader.expression()
        reader.end()
    except _UnreadableError as error:
        return [f"not LogQL: {error}"]
    return reader.faults


def foreign_jobs(expr: str, project: str) -> list[str]:
    """Return what is wrong with the streams of an expression: agents give each line the project's name as `job`."""
    jobs = re.findall(r'[{,]\s*job\s*=\s*"([^"]*)"', expr)
    return [f'no line has job="{job}": the agents write job="{project}"' for job in jobs if job != project]


def ranges_of(expr: str) -> list[str]:
    """Return what stands in the brackets of an expression, its texts left out."""
    return _RANGE.findall(re.sub(r'"(?:[^"\\]|\\.)*"|`[^`]*`', "", expr))


class _UnreadableError(Exception):
    """The expression ends, or goes on in a way that no rule allows."""


class _Reader:
    """One pass over the tokens; `faults` are the labels that nobody sets."""

    def __init__(self, expr: str) -> None:
        self.faults: list[str] = []
        self._tokens = list(_tokens(expr))
        self._at = 0
        self._known: frozenset[str] | None = STREAM_LABELS | METADATA

    def expression(self) -> None:
        self._operand()
        while self._peek() in _OPERATORS:
            self._next()
            if self._peek() == "bool":
                self._next()
            for word in ("on", "ignoring"):
                if self._take(word):
                    self._labels()
            for word in ("group_left", "group_right"):
                if self._take(word) and self._peek() == "(":
                    self._labels()
            self._operand()

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise _UnreadableError(f"{self._peek()!r} is too much")

    def _operand(self) -> None:
        ahead = self._peek()
        if ahead == "{":
            self._lines()
        elif self._take("("):
            self.expression()
            self._expect(")")
        elif ahead in _AGGREGATES:
            self._aggregate()
        elif ahead in _RANGE_FUNCTIONS:
            self._range_function()
        elif self._kind() == "number" or ahead in {"vector", "-"}:
            self._number()
        else:
            raise _UnreadableError(f"{ahead or 'the end'!r} begins nothing")

    def _number(self) -> None:
        self._take("-")
        if self._take("vector"):
            self._expect("(")
            self._value("number")
            self._expect(")")
        else:
            self._value("number")

    def _aggregate(self) -> None:
        self._next()
        self._grouping()
        self._expect("(")
        if self._kind() == "number":
            self._next()
            self._expect(",")
        self.expression()
        self._expect(")")
        self._grouping()

    def _grouping(self) -> None:
        for word in ("by", "without"):
            if self._take(word):
                self._labels()

    def _range_function(self) -> None:
        self._next()
        self._expect("(")
        if self._kind() == "number":
            self._next()
            self._expect(",")
        self._known = STREAM_LABELS | METADATA
        self._lines()
        self._expect("[")
        self._value("number")
        self._expect("]")
        if self._take("offset"):
            self._value("number")
        self._stages()
        self._expect(")")
        self._grouping()

    def _lines(self) -> None:
        self._expect("{")
        while not self._take("}"):
            self._matcher(STREAM_LABELS, "is no label of a stream")
            if self._peek() != "}":
                self._expect(",")
        self._stages()

    def _matcher(self, known: frozenset[str], fault: str) -> None:
        label = self._value("name")
        if label not in known:
            self.faults.append(f"{label} {fault}; there are {', '.join(sorted(known))}")
        if self._next() not in _MATCHERS:
            raise _UnreadableError(f"{label} is compared with =, !=, =~ or !~")
        self._value("text")

    def _stages(self) -> None:
        while True:
            ahead = self._peek()
            if ahead in _LINE_FILTERS:
                self._next()
                self._value("text")
                while self._take("or"):
                    self._value("text")
            elif self._take("|"):
                self._stage()
            else:
                return

    def _stage(self) -> None:
        name = self._peek()
        if name in {"json", "logfmt"}:
            self._next()
            self._extracted()
        elif name in _BARE_STAGES:
            self._next()
            self._known = None if name == "unpack" else self._known
        elif name in _STAGES_OF_A_TEXT:
            self._next()
            self._value("text")
            self._known = self._known if name == "line_format" else None
        elif name in {"label_format", "drop", "keep", "unwrap"}:
            self._next()
            self._renamed()
            self._known = None
        else:
            self._filter()

    def _extracted(self) -> None:
        """Read the fields that a parser is told to take out; without any it takes all, and all may exist."""
        named = False
        while self._kind() == "name":
            label = self._next()
            named = True
            self._known = None if self._known is None else self._known | {label}
            if self._take("="):
                self._value("text")
            if not self._take(","):
                break
        if not named:
            self._known = None

    def _renamed(self) -> None:
        while True:
            self._value("name")
            if self._take("("):
                self._value("name")
                self._expect(")")
            if self._peek() in _MATCHERS:
                self._next()
                self._next()
            if not self._take(","):
                return

    def _filter(self) -> None:
        self._condition()
        while self._peek() in {"and", "or", ","}:
            self._next()
            self._condition()

    def _condition(self) -> None:
        if self._take("("):
            self._filter()
            self._expect(")")
            return
        label = self._value("name")
        if self._known is not None and label not in self._known:
            self.faults.append(
                f"no line has {label} without a parser; there are {', '.join(sorted(self._known))}"
            )
        if self._next() not in _COMPARISONS:
            raise _UnreadableError(f"{label} is compared with nothing")
        if self._kind() not in {"text", "number"}:
            raise _UnreadableError(f"{label} is compared with {self._peek()!r}")
        self._next()

    def _labels(self) -> None:
        self._expect("(")
        while not self._take(")"):
            self._value("name")
            if self._peek() != ")":
                self._expect(",")

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        ahead = self._peek()
        self._at += 1
        return ahead

    def _take(self, token: str) -> bool:
        found = self._peek() == token
        self._at += found
        return found

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise _UnreadableError(f"{self._peek() or 'the end'!r} stands where {token!r} belongs")

    def _value(self, kind: str) -> str:
        if self._kind() != kind:
            raise _UnreadableError(f"{self._peek() or 'the end'!r} stands where a {kind} belongs")
        return self._next()


def _tokens(expr: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(expr):
        if match.lastgroup == "wrong":
            raise _UnreadableError(f"{match[0]!r} means nothing")
        if match.lastgroup is not None:
            yield match.lastgroup, match[0]
