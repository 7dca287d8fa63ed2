"""The parameters of a Bot API call, whichever of the four ways they were sent."""

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from midas.demo.internet.refusals import bad_request

_NESTED = frozenset(
    {
        "allowed_updates",
        "commands",
        "entities",
        "link_preview_options",
        "reply_markup",
        "reply_parameters",
        "scope",
    }
)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came inside a multipart body."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one call: scalars as they were sent, nested ones decoded, files apart."""

    values: dict[str, Any]
    uploads: dict[str, Upload]

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number.

        Raises:
            RefusalError: It is missing without a default, or not a number.
        """
        value = self.values.get(name, default)
        if value is None or value == "":
            raise bad_request(f"{name} is empty")
        try:
            return int(value)
        except (TypeError, ValueError):
            raise bad_request(f"invalid {name} specified") from None

    def text(self, name: str) -> str:
        """Return a string, empty when it was not sent."""
        value = self.values.get(name)
        return "" if value is None else str(value)

    def truth(self, name: str) -> bool:
        """Return a flag; JSON sends true, a form sends the word."""
        return self.values.get(name) in (True, "true", "True", "1", 1)


async def read_parameters(request: web.Request) -> Parameters:
    """Read the query, and a JSON, form or multipart body.

    Raises:
        RefusalError: The body or a nested parameter is not valid JSON.
    """
    values: dict[str, Any] = dict(request.query)
    uploads: dict[str, Upload] = {}
    if request.content_type == "application/json":
        values |= await _json_body(request)
    elif request.method == "POST":
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                uploads[name] = Upload(value.filename, value.file.read())
            else:
                values[name] = value
    for name in _NESTED & values.keys():
        values[name] = _nested(name, values[name])
    return Parameters(values, uploads)


async def _json_body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        raise bad_request("can't parse JSON object") from None
    if not isinstance(body, dict):
        raise bad_request("expected an object")
    return body


def _nested(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise bad_request(f"can't parse {name.replace('_', ' ')} JSON object") from None
