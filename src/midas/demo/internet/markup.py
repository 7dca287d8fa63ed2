"""Telegram's HTML: plain text and entities out of a message, or the complaint the Bot API would make."""

import html
import re
from dataclasses import dataclass
from typing import Any

from midas.demo.internet.refusals import bad_request

_KINDS = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "code": "code", "pre": "pre",
    "a": "text_link", "tg-spoiler": "spoiler", "blockquote": "blockquote",
}  # fmt: skip
_TAG = re.compile(r"<(?P<end>/?)(?P<name>[A-Za-z][A-Za-z0-9-]*)?(?P<rest>[^<>]*)>")
_REFERENCE = re.compile(r"&(?:lt|gt|amp|quot|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});")


@dataclass(slots=True)
class _Open:
    name: str
    offset: int
    attributes: dict[str, str]


def parse_html(source: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the text a person sees and its entities (offsets and lengths in UTF-16 units).

    Raises:
        RefusalError: A tag is unknown, never closed, closed without having been opened, or `<` is not escaped.
    """
    text = ""
    position = 0
    open_tags: list[_Open] = []
    entities: list[dict[str, Any]] = []
    while (start := source.find("<", position)) >= 0:
        text += _unescaped(source[position:start])
        match = _TAG.match(source, start)
        where = len(source[:start].encode())
        if match is None:
            raise _complaint(f"Unclosed start tag at byte offset {where}")
        if match["end"]:
            entities.append(_closed(match, open_tags, _units(text), where))
        else:
            open_tags.append(_opened(match, _units(text), where))
        position = match.end()
    if open_tags:
        raise _complaint(f'Can\'t find end tag corresponding to start tag "{open_tags[-1].name}"')
    text += _unescaped(source[position:])
    kept = [entity for entity in entities if entity["length"] > 0]
    return text, sorted(kept, key=lambda entity: (entity["offset"], -entity["length"]))


def _opened(match: re.Match[str], offset: int, where: int) -> _Open:
    name = (match["name"] or "").lower()
    if name not in _KINDS:
        raise _complaint(f'Unsupported start tag "{name}" at byte offset {where}')
    attributes = dict(re.findall(r'([\w-]+)\s*=\s*"([^"]*)"', match["rest"]))
    return _Open(name, offset, attributes)


def _closed(match: re.Match[str], open_tags: list[_Open], offset: int, where: int) -> dict[str, Any]:
    name = (match["name"] or "").lower()
    if not open_tags:
        raise _complaint(f"Unexpected end tag at byte offset {where}")
    opened = open_tags.pop()
    if name != opened.name:
        expected = f'expected "</{opened.name}>", found "</{name}>"'
        raise _complaint(f"Unmatched end tag at byte offset {where}, {expected}")
    entity: dict[str, Any] = {
        "type": _KINDS[name],
        "offset": opened.offset,
        "length": offset - opened.offset,
    }
    if name == "a":
        entity["url"] = _unescaped(opened.attributes.get("href", ""))
    return entity


def _unescaped(text: str) -> str:
    return _REFERENCE.sub(lambda match: html.unescape(match[0]), text)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _complaint(reason: str) -> Exception:
    return bad_request(f"can't parse entities: {reason}")
