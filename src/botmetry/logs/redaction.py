"""Removes secrets and personal data from everything a log line is made of, before it is encoded.

Most strings in log lines are the same few over and over: those found clean are remembered, so that a line of known
names, known words and small numbers costs a few look-ups. Anything else is looked at closely.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Final, TypeAlias

from botmetry.logs.credentials import mask_assignments, mask_options, mask_tokens, mask_url_passwords
from botmetry.logs.names import MASK, FieldNames, Rule
from botmetry.logs.payment import MIN_DIGITS, is_card_number, mask_payment_numbers
from botmetry.logs.plain import items_of, number, text_of, well_formed

__all__ = ["JSON", "Redactor"]

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

MAX_DEPTH: Final = 32
"""Containers inside each other. The encoder stops at 254, and nobody reads that far."""
MAX_MEMBERS: Final = 10_000
"""Values in the containers of one field: a small structure that holds itself many times must not fill the memory."""

_CUT: Final = "…"
_CYCLE: Final = "<cycle>"
_PAIR: Final = 2
_SHORTEST_TOKEN: Final = 12  # characters of the shortest credential that is recognised by its form
_SMALLEST_CARD: Final = 10 ** (MIN_DIGITS - 1)
_LARGEST_NEGATIVE: Final = -_SMALLEST_CARD
_SMALL_FLOAT, _LARGE_FLOAT = -1e12, 1e12  # between them is what is surely neither NaN nor infinite
_REMEMBERED: Final = 8192
_LONGEST_REMEMBERED: Final = 64  # characters: all that is remembered stays below a mebibyte or so
_USER_IDS_REMEMBERED: Final = 4096
# Ids are what most strings that were not seen before are. Nothing that is masked has this form.
_IS_ID = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}").fullmatch
_ID_SIZES: Final = (32, 36)
_HASH_BYTES: Final = 8  # of a user id: one collision expected among 5 billion users


class Redactor:
    """Makes fields and texts safe to write: one call for the fields of a line, one for each text.

    Args:
        redact_keys: Further field names whose values are removed, besides those of `botmetry.logs.names`.
        user_id_key: When given, user ids are replaced by a hash keyed with this secret: the same user stays
            recognisable, and nobody without the key can try all ids.
        reserved: Field names that belong to the line itself; a field called so is renamed to `field_<name>`.
    """

    def __init__(
        self,
        redact_keys: Iterable[str] = (),
        user_id_key: str | None = None,
        reserved: frozenset[str] = frozenset(),
    ) -> None:
        self._names = FieldNames(redact_keys, user_ids=user_id_key is not None)
        self._reserved = reserved
        self._clean: set[str] = set()
        self._plain_names: set[str] = set()
        key = b"" if user_id_key is None else hashlib.sha256(user_id_key.encode()).digest()

        def hash_user_id(user_id: str) -> str:
            data = user_id.encode("utf-8", "backslashreplace")
            return hashlib.blake2b(data, key=key, digest_size=_HASH_BYTES).hexdigest()

        self._hash_user_id = lru_cache(_USER_IDS_REMEMBERED)(hash_user_id)

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return `fields` as JSON values without secrets; `fields` itself when nothing had to change."""
        if not self._plain_names.issuperset(fields):
            return self._each_field(fields)
        clean = self._clean
        for value in fields.values():
            kind = type(value)
            if kind is str:
                if value in clean or (len(value) in _ID_SIZES and _IS_ID(value)) or self.text(value) is value:
                    continue
            elif kind is float:
                if _SMALL_FLOAT < value < _LARGE_FLOAT:
                    continue
            elif kind is int:
                if _LARGEST_NEGATIVE < value < _SMALLEST_CARD:
                    continue
            elif kind is bool or value is None:
                continue
            return self._each_field(fields)
        return fields

    def picked(
        self, source: Mapping[str, Any], names: Iterable[str], without: frozenset[str]
    ) -> dict[str, Any] | None:
        """Return what is called `names` in `source`, or None when something has to change: `fields` does that.

        Picking and the check of `fields` are one pass over a record's extras, because two cost half as much again.
        What `fields` would leave as it is and what this returns must be the same: keep the two in step.

        Args:
            source: Holds the fields, among other things.
            names: Those that are fields.
            without: When one of them is in here, the answer is None, too.
        """
        plain, clean = self._plain_names, self._clean
        picked: dict[str, Any] = {}
        for name in names:
            if name not in plain or name in without:
                return None
            value = picked[name] = source[name]
            kind = type(value)
            if kind is str:
                if value in clean or (len(value) in _ID_SIZES and _IS_ID(value)) or self.text(value) is value:
                    continue
            elif kind is float:
                if _SMALL_FLOAT < value < _LARGE_FLOAT:
                    continue
            elif kind is int:
                if _LARGEST_NEGATIVE < value < _SMALLEST_CARD:
                    continue
            elif kind is bool or value is None:
                continue
            return None
        return picked

    def text(self, text: str) -> str:
        """Return `text` without secrets and lone surrogates; `text` itself when there are none."""
        if text in self._clean:
            return text
        if len(text) in _ID_SIZES and _IS_ID(text):
            return text  # not remembered: it hardly comes again
        found = self._search(text)
        if found != text:
            return found
        if len(text) <= _LONGEST_REMEMBERED:
            if len(self._clean) >= _REMEMBERED:
                self._clean.clear()
            self._clean.add(text)
        return text

    def value(self, name: str, value: object) -> JSON:
        """Return the `value` of the field `name` as JSON, without secrets."""
        try:
            return _Walk(self).member(name, value)
        except Exception as error:  # noqa: BLE001 - foreign code, or a container changed by another thread
            return f"<{type(value).__name__} not readable: {type(error).__name__}>"

    def rule(self, name: str) -> Rule:
        """Return what the value of a field called `name` is."""
        return self._names.rule(name)

    def hash_user_id(self, user_id: str) -> str:
        """Return the keyed hash of a user id: 16 hexadecimal digits."""
        return self._hash_user_id(user_id)

    def _search(self, text: str) -> str:
        size = len(text)
        if not text.isascii():
            text = well_formed(text)
        if size >= _SHORTEST_TOKEN:
            text = mask_tokens(text)
        if "--" in text:
            text = mask_options(text, self._names.rule)
        if ":" in text or "=" in text:
            if "://" in text:
                text = mask_url_passwords(text)
            text = mask_assignments(text, self._names.rule, self._hash_user_id)
        if size >= MIN_DIGITS:
            text = mask_payment_numbers(text)
        return text

    def _each_field(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        safe: dict[str, Any] = {}
        for name, value in fields.items():
            written = self._name(name)
            while written in safe:
                written += "_"
            safe[written] = self.value(name, value)
        return safe

    def _name(self, name: str) -> str:
        """Return what the field `name` is called in a line; plain names are remembered for the fast way."""
        if name in self._reserved:
            return f"field_{name}"
        written = self.text(name)
        if written is name and self._names.rule(name) is Rule.PLAIN and len(name) <= _LONGEST_REMEMBERED:
            if len(self._plain_names) >= _REMEMBERED:
                self._plain_names.clear()
            self._plain_names.add(name)
        return written


class _Walk:
    """One field's value, followed inwards; knows which containers it is inside of and how much it has seen."""

    __slots__ = ("_inside", "_left", "_redactor")

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._inside: set[int] = set()
        self._left = MAX_MEMBERS

    def member(self, name: str, value: object) -> JSON:
        rule = self._redactor.rule(name)
        if (
            rule is Rule.PLAIN
            or value is None
            or isinstance(value, bool)
            or (type(value) is str and not value)
        ):
            return self.plain(value)
        return MASK if rule is Rule.SECRET else self._redactor.hash_user_id(text_of(value))

    def plain(self, value: object) -> JSON:
        if isinstance(value, Enum):
            value = value.value
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._redactor.text(str(value))
        if isinstance(value, int | float):
            written = number(value)
            is_card = (
                type(written) is int and abs(written) >= _SMALLEST_CARD and is_card_number(str(abs(written)))
            )
            return MASK if is_card else written
        items = items_of(value)
        return self._redactor.text(text_of(value)) if items is None else self._container(value, items)

    def _container(self, container: object, items: Mapping[object, object] | Iterable[object]) -> JSON:
        if id(container) in self._inside:
            return _CYCLE
        if len(self._inside) >= MAX_DEPTH:
            return _CUT
        self._inside.add(id(container))
        try:
            return self._object(items) if isinstance(items, Mapping) else self._array(items)
        finally:
            self._inside.discard(id(container))

    def _object(self, items: Mapping[object, object]) -> JSON:
        written: dict[str, JSON] = {}
        for key, value in items.items():
            if self._full():
                written[_CUT] = _CUT
                break
            original = text_of(key)
            name = self._redactor.text(original)
            while name in written:  # 1 and "1" are two keys in Python
                name += "_"
            written[name] = self.member(original, value)
        return written

    def _array(self, items: Iterable[object]) -> JSON:
        members = list(items)
        if len(members) == _PAIR and isinstance(members[0], str):  # a header: ("Authorization", "...")
            return [self._redactor.text(members[0]), self.member(members[0], members[1])]
        written: list[JSON] = []
        before: object = None
        for value in members:
            if self._full():
                written.append(_CUT)
                break
            # A program's arguments: what follows an option is its value.
            is_option = isinstance(before, str) and before.startswith("--")
            written.append(self.member(str(before), value) if is_option else self.plain(value))
            before = value
        return written

    def _full(self) -> bool:
        self._left -= 1
        return self._left < 0
