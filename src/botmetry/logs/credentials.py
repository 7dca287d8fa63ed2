r"""Finds credentials in text: tokens and keys by their form, passwords in URLs, values written after a secret's name.

Patterns begin with the rarest character of what they look for (`-` of `sk-`, `:` of a bot token) and look behind for
the rest, because a scan stops at each possible beginning. What they repeat is consumed or bounded, so that hostile
text costs no more than friendly text of the same length. No group is repeated possessively: Python before 3.11.5
gets such a match wrong (https://github.com/python/cpython/issues/106052).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

from botmetry.logs.names import MASK, Rule

__all__ = ["mask_assignments", "mask_options", "mask_tokens", "mask_url_passwords"]

_TOKENS = re.compile(
    r"""
      :(?<=[0-9]{5}:)[A-Za-z0-9_-]{30,}       # Telegram bots: 8 to 10 digits, then 35 characters
    | %3[Aa](?<=[0-9]{5}%3[Aa])[A-Za-z0-9_-]{30,}   # the same in an escaped address
    | -(?:(?<=[spr]k-)(?<![A-Za-z0-9].k-)     # OpenAI, DeepSeek, OpenRouter; `task-…` is no key
        |(?<=pplx-)|(?<=xox[a-z]-)|(?<=xapp-)|(?<=xai-)|(?<=glpat-)|(?<=GOCSPX-))[A-Za-z0-9_-]{8,}
    | _(?:(?<=gh[pousr]_)|(?<=github_pat_)|(?<=[spr]k_live_)|(?<=[spr]k_test_)|(?<=hf_)|(?<=gsk_)|(?<=npm_)
        |(?<=whsec_)|(?<=do[opr]_v1_)|(?<=shp[ap][at]_))
        [A-Za-z0-9_]{16,}
    | A(?<=A[KS]IA)[A-Z0-9]{12,}              # Amazon
    | A(?<=pypi-A)[A-Za-z0-9_-]{16,}          # PyPI
    | G(?<=SG)\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}     # SendGrid
    | 9(?<=ya29)\.[A-Za-z0-9_-]{16,}          # Google's access tokens
    | \.(?:(?<=[MNO][A-Za-z0-9_-]{23}\.)|(?<=[MNO][A-Za-z0-9_-]{25}\.))  # Discord bots
        [A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}
    | /(?<=[0-9]{17}/)[A-Za-z0-9_-]{60,}      # webhooks of Discord
    | B(?<=/B)[A-Z0-9]{7,}/[A-Za-z0-9]{20,}   # and of Slack
    | I(?<=AI)za[A-Za-z0-9_-]{30,}            # Google
    | J(?<=eyJ)(?<![A-Za-z0-9_-]eyJ)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?  # JSON Web Token
    | [Bb][Ee][Aa][Rr][Ee][Rr][ \t]{1,4}(?P<bearer>[A-Za-z0-9._~+/=:-]{6,})
    | [Bb][Aa][Ss][Ii][Cc][ \t]{1,4}(?P<basic>[A-Za-z0-9+/_-]{4,}={0,2})
    """,
    re.VERBOSE,
)
_PROSE_AFTER_BEARER = frozenset(
    {"token", "tokens", "scheme", "header", "headers", "format", "prefix", "realm", "auth", "authentication"}
    | {"authorization", "credential", "credentials", "error", "errors"}
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
)

# An unescaped password may hold `/`, `@` and quotes.
_URL_END = re.compile(r"[\s<>]|://")
_NO_USER = re.compile(r"[/?#\[\"',]")
_PORT = re.compile(r"[0-9]{1,5}(?:[/?#\"',;)\]}]|\Z)")
_WEB = ("http", "https", "ws", "wss")
_QUOTE = re.compile("[\"']")

_OPERATOR = re.compile(r"[:=]{1,2}>?[ \t]{0,8}")
_LONGEST_NAME = 80
_NAME_REVERSED = re.compile(rf"[\w.-]{{1,{_LONGEST_NAME}}}")
_AFTER_NAME = " \t\"'\\]"
_QUOTED = re.compile(
    r"""
      \\+"[^"\n]*"? | \\+'[^'\n]*'?                                    # a quote inside a quoted text
    | [A-Za-z]{0,2}"[^"\\\n]*(?:\\.[^"\\\n]*)*"? | [A-Za-z]{0,2}'[^'\\\n]*(?:\\.[^'\\\n]*)*'?
    """,
    re.VERBOSE,
)
_SCHEME = re.compile(
    r"(?:[Bb]earer|[Bb]asic|[Tt]oken|[Nn]egotiate)[ \t]{1,4}"
)  # Authorization: <scheme> <credentials>
_VALUE_END = re.compile(r"""\s|["'](?=[,;}\])\s]|\Z)|[&,;](?=\s|\Z|[\w.-]{1,64}=)""")
_LINE = re.compile(r"[^\r\n]+")
_OPTION = re.compile(
    r"""--([A-Za-z][\w-]{1,78})(?:
      [ \t]{1,8}(?!-|\[redacted\])("[^"\n]*"|'[^'\n]*'|[^\s"',\])}]+)
    | ["'],[ ]?["'](?!-|\[redacted\])([^"'\n]+)                      # in the list of a command's arguments
    )""",
    re.VERBOSE,
)
_USER_ID = re.compile(r"[\"']?(-?\w+)")
_CLOSING = ",;)}"
_NO_SECRET = frozenset({"None", "null", "True", "true", "False", "false", '""', "''", MASK})


def mask_tokens(text: str) -> str:
    """Return `text` without bot tokens, API keys, authorization headers and private keys.

    What names the kind stays (`sk-[redacted]`, `Bearer [redacted]`), and so does the public id of a bot.
    """
    if "PRIVATE KEY-----" in text:
        text = _PRIVATE_KEY.sub(MASK, text)
    return _TOKENS.sub(_mask_token, text) if _TOKENS.search(text) else text


def mask_url_passwords(text: str) -> str:
    """Return `text` without the password of each `scheme://user:password@host`."""
    kept: list[str] = []
    done = 0
    begin = text.find("://")
    while begin >= 0:
        stop = _URL_END.search(text, begin + 3)
        end = stop.start() if stop else len(text)
        kept += (text[done:begin], _mask_password(text, begin, text[begin + 3 : end]))
        done = end
        begin = text.find("://", end)
    return "".join((*kept, text[done:]))


def mask_assignments(text: str, rule_of: Callable[[str], Rule], hash_user_id: Callable[[str], str]) -> str:
    """Return `text` without what is assigned to a secret's name: `api_key=…`, `"password": "…"`, `token: …`.

    Args:
        text: Any text.
        rule_of: Tells what a name's value is.
        hash_user_id: Makes what is written instead of a user's id.
    """
    kept: list[str] = []
    done = 0
    operator = _OPERATOR.search(text)
    while operator is not None:
        end = operator.end()
        name = _name_before(text, max(done, operator.start() - _LONGEST_NAME - 8), operator.start())
        rule = rule_of(name) if name else Rule.PLAIN
        if rule is Rule.USER_ID and (user_id := _USER_ID.match(text, end)):
            kept += (text[done : user_id.start(1)], hash_user_id(user_id[1]))
            done = end = user_id.end(1)
        elif rule is Rule.SECRET:
            begin, end = _value(name, text, end)
            if end > begin:
                kept += (text[done:begin], MASK)
                done = end
        operator = _OPERATOR.search(text, max(end, operator.end()))
    return "".join((*kept, text[done:])) if kept else text


def mask_options(text: str, rule_of: Callable[[str], Rule]) -> str:
    """Return `text` without the values of a command's secret options: `--password …`, `'--token', '…'`."""

    def mask(match: re.Match[str]) -> str:
        if rule_of(match[1]) is not Rule.SECRET:
            return match[0]
        return match[0][: -len(match[2] or match[3])] + MASK

    return _OPTION.sub(mask, text)


def _mask_token(match: re.Match[str]) -> str:
    found, scheme = match[0], match.lastgroup
    if scheme is None:
        return found[0] + MASK
    secret = match[scheme]
    if scheme == "bearer":
        prose = secret.lower().rstrip(".:") in _PROSE_AFTER_BEARER
    else:
        prose = not _is_user_and_password(secret)
    return found if prose else found[: -len(secret)] + MASK


def _is_user_and_password(encoded: str) -> bool:
    """Tell whether what follows `Basic` is base64 of `user:password`, and not the next word of a sentence."""
    try:
        return b":" in base64.b64decode(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), b"-_")
    except binascii.Error:
        return False


def _mask_password(text: str, begin: int, address: str) -> str:
    """Return `://` and what follows it there, without a password."""
    user, colon, rest = address.partition(":")
    if not colon or _NO_USER.search(user):
        return f"://{address}"
    if _PORT.match(rest) and text.endswith(_WEB, 0, begin):
        return f"://{address}"  # https://host:8443/@name
    quote = _QUOTE.search(rest)
    end = rest.rfind("@", 0, quote.start()) if quote else -1
    if end < 0:
        end = rest.rfind("@")
    return f"://{user}:{MASK}{rest[end:]}" if end > 0 else f"://{address}"


def _name_before(text: str, begin: int, end: int) -> str:
    name = _NAME_REVERSED.match(text[begin:end].rstrip(_AFTER_NAME)[::-1])
    return name[0][::-1] if name else ""


def _value(name: str, text: str, begin: int) -> tuple[int, int]:
    """Return where the value at `begin` begins and ends; equal when there is nothing to hide."""
    if name.lower().endswith("cookie") or text.startswith("Digest ", begin):
        line = _LINE.match(text, begin)
        end = line.end() if line else begin
    else:
        quoted = _QUOTED.match(text, begin)
        end = quoted.end() if quoted else _end_of_words(text, begin)
    value = text[begin:end]
    inner = value.rstrip(_CLOSING) or value
    return (begin, begin) if inner in _NO_SECRET else (begin, begin + len(inner))


def _end_of_words(text: str, begin: int) -> int:
    scheme = _SCHEME.match(text, begin)
    first = scheme.end() if scheme else begin
    stop = _VALUE_END.search(text, first)
    end = stop.start() if stop else len(text)
    if end == first != begin:  # nothing follows the scheme: its name is the value
        return begin + len(text[begin:first].rstrip())
    return end
