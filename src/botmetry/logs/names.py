"""Which field names hold secrets, and which hold a user's identity.

Names are compared without case, dashes, dots and underscores, so `apiKey`, `API_KEY` and `x-api-key` are one rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

__all__ = ["MASK", "FieldNames", "Rule"]

MASK: Final = "[redacted]"
"""What stands in a line where a secret was."""

SECRET_ENDINGS = (
    "password", "passwd", "pwd", "passphrase", "passcode", "secret", "token", "apikey", "accesskey", "secretkey",
    "privatekey", "signingkey", "encryptionkey", "accountkey", "sharedkey", "authorization", "credential",
    "credentials", "cookie", "cardnumber", "cvv", "cvc", "iban",
)  # fmt: skip
"""`token` ends a secret's name; `tokens`, `tokens_total` and `token_count` count what a model read."""

SECRET_PARTS = ("password", "passwd", "secret", "apikey")
SECRET_NAMES = frozenset({"auth", "pass", "pin", "otp", "jwt"})
USER_ID_NAMES = frozenset({"userid", "chatid", "telegramid", "telegramuserid", "tguserid"})
"""In a private chat Telegram's chat id is the user's id: hashing one and writing the other would hide nothing."""

_MEMO_ENTRIES = 4096
_LONGEST_MEMO = 128


class Rule(Enum):
    """What happens to the value of a field."""

    PLAIN = "plain"
    SECRET = "secret"  # noqa: S105 - the rule's name
    USER_ID = "user_id"


class FieldNames:
    """Decides by a field's name what happens to its value.

    Args:
        redact_keys: Further names whose values are secrets.
        user_ids: Whether names of user ids have a rule of their own.
    """

    def __init__(self, redact_keys: Iterable[str] = (), *, user_ids: bool = False) -> None:
        self._further = frozenset(map(_compact, redact_keys))
        self._user_ids = USER_ID_NAMES if user_ids else frozenset()
        self._memo: dict[str, Rule] = {}

    def rule(self, name: str) -> Rule:
        """Return the rule for the field `name`; the answer is remembered, in bounded memory."""
        known = self._memo.get(name)
        if known is not None:
            return known
        rule = self._decide(_compact(name))
        if len(name) <= _LONGEST_MEMO:
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            self._memo[name] = rule
        return rule

    def _decide(self, name: str) -> Rule:
        if name in self._further or name in SECRET_NAMES or name.endswith(SECRET_ENDINGS):
            return Rule.SECRET
        if any(part in name for part in SECRET_PARTS):
            return Rule.SECRET
        return Rule.USER_ID if name in self._user_ids else Rule.PLAIN


def _compact(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))
