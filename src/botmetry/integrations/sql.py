"""What a SQL statement does, and to which table: two words that are bounded enough to be labels.

This is no SQL parser. It reads the words of a statement in their order, knows what quotes and comments hide, and finds
the name that follows `FROM`, `INTO`, `UPDATE` or their like. What it cannot name it calls `none`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["NO_TABLE", "OTHER", "Statement", "describe"]

OTHER: Final = "OTHER"
NO_TABLE: Final = "none"

# A table is named early. What follows is values and conditions, which may be long in generated statements.
_READ_CHARACTERS = 16_384

# Statements are texts in the program, some hundred at most. Texts with values inside never repeat; they pass through.
_KEPT_STATEMENTS = 1024

_TOKEN = re.compile(
    r"""
      (?P<skipped>\s+|--[^\n]*)
    | (?P<comment>/\*)
    | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
    | (?P<text>(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*(?:'|\Z))
    | (?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z))
    | (?P<quoted>(?:[uU]&)?"(?:[^"]|"")+(?:"|\Z))
    | (?P<word>[^\W\d][\w$]*)
    | (?P<number>\d[\w.]*)
    | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words of which the name of the table follows, perhaps after some of `_SKIPPED`.
_DIRECT = frozenset({"COPY", "DELETE", "INSERT", "LOCK", "MERGE", "REFRESH", "TABLE", "TRUNCATE", "UPDATE"})
_DEFINING = frozenset({"ALTER", "CREATE", "DROP"})
_READING = frozenset({"ANALYZE", "DECLARE", "EXPLAIN", "SELECT", "VACUUM", "VALUES"})
_PLAIN = _words(
    """
    ABORT BEGIN CALL CHECKPOINT CLOSE CLUSTER COMMENT COMMIT DEALLOCATE DISCARD DO END EXECUTE FETCH
    GRANT IMPORT LISTEN LOAD MOVE NOTIFY PREPARE REASSIGN REINDEX RELEASE RESET REVOKE ROLLBACK
    SAVEPOINT SECURITY SET SHOW START UNLISTEN
    """
)
_OPERATIONS = _DIRECT | _DEFINING | _READING | _PLAIN
_SOURCES = frozenset({"FROM", "INTO", "JOIN", "UPDATE"})
_QUERIES = frozenset({"DELETE", "INSERT", "MERGE", "SELECT", "TABLE", "UPDATE", "VALUES", "WITH"})
_SKIPPED = _words(
    """
    CONCURRENTLY EXISTS FOREIGN FROM GLOBAL IF INTO LATERAL LOCAL MATERIALIZED NOT ONLY RECURSIVE
    TABLE TEMP TEMPORARY UNLOGGED VIEW
    """
)


class Statement(NamedTuple):
    """What a statement does.

    Attributes:
        operation: Its verb in capitals, such as `SELECT`; `OTHER` when it is none that PostgreSQL knows.
        table: The table it works on, with its schema unless that is `public`; `none` when it names none.
    """

    operation: str
    table: str


class _Token(NamedTuple):
    """A word in capitals, a name as it is to be shown, or a mark."""

    kind: str
    word: str
    name: str


_END = _Token("end", "", "")


@lru_cache(_KEPT_STATEMENTS)
def describe(sql: str) -> Statement:
    """Return operation and table of `sql`. Never raises, whatever the text is."""
    words = _Words([*_tokens(sql[:_READ_CHARACTERS])])
    own_names = words.read_with()
    verb = words.at(0).word
    operation = verb if verb in _OPERATIONS else OTHER
    if operation in _PLAIN or operation == OTHER:
        return Statement(operation, NO_TABLE)
    table = words.target(verb)
    if table is None or table in own_names:
        table = next((name for name in words.sources() if name not in own_names), None)
    return Statement(operation, table or NO_TABLE)


class _Words:
    """The tokens of a statement, read from a position that moves past its `WITH`."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._start = 0
        while self.at(0).word == "(":
            self._start += 1

    def at(self, offset: int) -> _Token:
        index = self._start + offset
        return self._tokens[index] if index < len(self._tokens) else _END

    def read_with(self) -> set[str]:
        """Move past `WITH name AS (…), …` and return the names, which are no tables."""
        names: set[str] = set()
        if self.at(0).word != "WITH":
            return names
        depth, position = 0, 1
        while (token := self.at(position)) is not _END:
            depth += (token.word == "(") - (token.word == ")")
            if depth == 0 and token.word in _QUERIES:
                break
            if depth == 0 and token.name and self.at(position - 1).word in {"WITH", "RECURSIVE", ","}:
                names.add(token.name)
            position += 1
        self._start += position
        return names

    def target(self, verb: str) -> str | None:
        """Return the table that `verb` says it works on, None when it is to be found elsewhere."""
        if verb in _DIRECT:
            return self._name_at(self._start + 1)
        if verb in _DEFINING:
            return self._defined()
        if verb in {"ANALYZE", "VACUUM"}:
            return self._name_at(self._after_options(self._start + 1))
        return None

    def sources(self) -> Iterator[str]:
        """Yield the tables after `FROM`, `JOIN`, `INTO` and `UPDATE`, wherever they are in the statement."""
        in_query = [True]
        for index, token in enumerate(self._tokens):
            following = self._tokens[index + 1] if index + 1 < len(self._tokens) else _END
            if token.word == "(":
                # `extract(year FROM at)` is a function; `(SELECT … FROM t)` is a query.
                in_query.append(following.word in _QUERIES or following.word == "(")
            elif token.word == ")" and len(in_query) > 1:
                in_query.pop()
            elif token.word in _SOURCES and in_query[-1] and self._names_source(index):
                name = self._name_at(index + 1, called=False)
                if name is not None:
                    yield name

    def _names_source(self, index: int) -> bool:
        """Return whether the word at `index` is what it seems, and not a part of another construct."""
        before = self._tokens[index - 1].word if index else ""
        if self._tokens[index].word == "UPDATE":  # not `FOR UPDATE`, `DO UPDATE` or `ON UPDATE`
            return before == "("
        return before != "DISTINCT"  # not `IS DISTINCT FROM`

    def _defined(self) -> str | None:
        """Return the table of `CREATE TABLE t`, `DROP VIEW t`, `CREATE INDEX i ON t` and their like."""
        for index in range(self._start + 1, min(self._start + 8, len(self._tokens))):
            word = self._tokens[index].word
            if word in {"TABLE", "VIEW"}:
                return self._name_at(index + 1)
            if word in {"INDEX", "POLICY", "RULE", "TRIGGER"}:
                return self._name_after("ON", index)
        return None

    def _name_after(self, word: str, start: int) -> str | None:
        for index in range(start, len(self._tokens)):
            if self._tokens[index].word == word:
                return self._name_at(index + 1)
        return None

    def _after_options(self, index: int) -> int:
        while index < len(self._tokens) and self._tokens[index].word in {
            "(",
            "ANALYZE",
            "FREEZE",
            "FULL",
            "VERBOSE",
        }:
            if self._tokens[index].word == "(":
                while index < len(self._tokens) and self._tokens[index].word != ")":
                    index += 1
            index += 1
        return index

    def _name_at(self, index: int, *, called: bool = True) -> str | None:
        """Return the qualified name at `index` or behind skipped words; None when there is none.

        Args:
            index: Where to look.
            called: Whether a name before a parenthesis counts: `INSERT INTO t (…)` names a table, `FROM f(…)` a
                function.
        """
        tokens = [*self._tokens[index : index + 16], _END]
        position = 0
        while tokens[position].word in _SKIPPED or (not called and tokens[position].word == "("):
            position += 1
        if not tokens[position].name or tokens[position].word in _QUERIES:
            return None
        parts = [tokens[position].name]
        while tokens[position + 1].word == "." and tokens[position + 2].name:
            parts.append(tokens[position + 2].name)
            position += 2
        if not called and tokens[position + 1].word == "(":
            return None
        return ".".join(parts[-2:]).removeprefix("public.")


def _tokens(sql: str) -> Iterator[_Token]:
    position = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None:
            return
        position = match.end()
        kind, text = match.lastgroup or "", match[0]
        if kind == "tag":  # the tag is the last group inside a dollar-quoted text
            kind = "dollar"
        if kind == "comment":
            position = _comment_end(sql, position)
        elif kind == "word":
            yield _Token(kind, text.upper(), text.lower())
        elif kind == "quoted":
            yield _Token(kind, "", text[text.index('"') + 1 :].removesuffix('"').replace('""', '"'))
        elif kind != "skipped":
            yield _Token(kind, text if kind == "mark" else "", "")


def _comment_end(sql: str, position: int) -> int:
    """Return where the comment that began before `position` ends; comments of PostgreSQL nest."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, position):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)
