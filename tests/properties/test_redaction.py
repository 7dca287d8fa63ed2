"""Whatever surrounds a secret, it does not come through; whatever is none, stays."""

from __future__ import annotations

import string
from datetime import UTC, datetime

import orjson
from hypothesis import given
from hypothesis import strategies as st

from botmetry.logs import EventLogger, Redactor
from botmetry.logs.payment import IBAN_LENGTHS
from botmetry.settings import LEVELS, LogSettings

ALPHANUMERIC = string.ascii_letters + string.digits
TOKEN = ALPHANUMERIC + "_-"


def luhn(body: str) -> str:
    """Append the check digit to the digits of a card number."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * (1 if place % 2 else 2)
        total += doubled - 9 if doubled > 9 else doubled
    return body + str(-total % 10)


def grouped(number: str, separator: str, size: int) -> str:
    return separator.join(number[at : at + size] for at in range(0, len(number), size))


def iban(country: str, body: str) -> str:
    """Put the check digits between a country and an account number."""
    number = "".join(str(int(sign, 36)) for sign in f"{body}{country}00")
    return f"{country}{98 - int(number) % 97:02d}{body}"


bot_tokens = st.builds(
    "{}:{}".format, st.integers(10**7, 10**10 - 1), st.text(TOKEN, min_size=35, max_size=35)
)
api_keys = st.one_of(
    st.builds(str.__add__, st.just("sk-"), st.text(ALPHANUMERIC, min_size=20, max_size=48)),
    st.builds(str.__add__, st.just("sk-proj-"), st.text(TOKEN, min_size=20, max_size=100)),
    st.builds(str.__add__, st.just("pplx-"), st.text(ALPHANUMERIC, min_size=32, max_size=48)),
    st.builds(str.__add__, st.just("ghp_"), st.text(ALPHANUMERIC, min_size=36, max_size=36)),
    st.builds(
        str.__add__,
        st.just("AKIA"),
        st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=16),
    ),
    st.builds("xoxb-{}-{}".format, st.integers(10**9, 10**12), st.text(ALPHANUMERIC, min_size=10)),
)
cards = st.builds(
    lambda first, size, digits, separator, group: grouped(
        luhn((first + digits)[: size - 1]), separator, group if separator else 99
    ),
    st.sampled_from(["4", "51", "2221", "34", "37", "6011", "62", "35", "30", "2200", "9792", "81"]),
    st.integers(13, 19),
    st.text(string.digits, min_size=19, max_size=19),
    st.sampled_from(["", " ", "-"]),
    st.integers(2, 6),
)
ibans = st.builds(
    lambda country, body, spaced: grouped(
        iban(country, body[: IBAN_LENGTHS[country] - 4]), " ", 4 if spaced else 99
    ),
    st.sampled_from(sorted(IBAN_LENGTHS)),
    st.text(string.ascii_uppercase + string.digits, min_size=30, max_size=30),
    st.booleans(),
)
passwords = st.builds(
    # It begins with a word that nothing else here contains, and does not end in what may end a value.
    "geheim{}{}".format,
    st.text(ALPHANUMERIC + "!#$%*+./:;<=>?@[]^_{|}~-", max_size=40),
    st.sampled_from(ALPHANUMERIC),
)
url_passwords = (
    st.text(ALPHANUMERIC + "!$%*+.=_~-/@:", max_size=40)
    .filter(lambda text: "//" not in text)
    .map("geheim{}".format)
)
surroundings = st.text(max_size=60)
names = st.sampled_from(
    ["password", "PASSWORD", "db_password", "api_key", "apiKey", "client-secret", "bot_token", "x.passwd"]
)


def between(before: str, secret: str, after: str) -> str:
    """Put a secret between two texts, as a word of its own."""
    return f"{before} {secret} {after}"


@given(surroundings, st.one_of(bot_tokens, api_keys, cards, ibans), surroundings)
def test_no_secret_comes_through(before, secret, after):
    """A token, key, card number or IBAN is gone from a text, whatever else the text says."""
    assert secret not in Redactor().text(between(before, secret, after))


@given(bot_tokens, st.sampled_from(["getMe", "sendMessage", "file/photo.jpg"]))
def test_no_bot_token_comes_through_in_an_address(token, method):
    """The addresses of the Bot API lose their token."""
    secret = token.partition(":")[2]
    assert secret not in Redactor().text(f"POST https://api.telegram.org/bot{token}/{method} failed")


@given(surroundings, names, st.sampled_from(["=", ": ", " = ", ":", " => "]), passwords, surroundings)
def test_no_assigned_password_comes_through(before, name, operator, password, after):
    """What is written after the name of a secret is gone."""
    assert "geheim" not in Redactor().text(f"{before} {name}{operator}{password} {after}")


@given(names, st.text(max_size=40).map("geheim{}".format), st.sampled_from(["'", '"']))
def test_no_quoted_password_comes_through(name, password, quote):
    """A quoted value is gone as a whole, with spaces, escapes and everything in it."""
    written = password.replace("\\", "\\\\").replace("\n", "\\n").replace(quote, "\\" + quote)
    text = f"{{{quote}{name}{quote}: {quote}{written}{quote}, 'n': 1}}"
    safe = Redactor().text(text)
    assert safe.endswith(", 'n': 1}")
    assert "geheim" not in safe


@given(
    surroundings,
    st.sampled_from(["redis", "postgresql", "amqp"]),
    url_passwords,
    st.sampled_from(["", "bot"]),
)
def test_no_password_of_an_address_comes_through(before, scheme, password, user):
    """The password in `scheme://user:password@host` is gone, also when nobody escaped it."""
    safe = Redactor().text(f"{before} {scheme}://{user}:{password}@db.example:5432/0 and more")
    assert safe.endswith("@db.example:5432/0 and more")
    assert "geheim" not in safe


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=10), inner, max_size=3),
        st.tuples(inner, inner),
    ),
    max_leaves=8,
)


@given(
    json_values,
    names,
    st.text(ALPHANUMERIC, min_size=12, max_size=30).map("geheim-{}".format),
    st.integers(0, 5),
)
def test_no_value_of_a_secret_name_comes_through_at_any_depth(value, name, secret, depth):
    """A secret's value is gone from a line, wherever in nested fields it stands and whatever stands beside it."""
    nested: object = {"beside": value, name: {"inner": [secret, value]}}
    for level in range(depth):
        nested = [nested, value] if level % 2 else {"deeper": nested}
    lines: list[bytes] = []

    class Written:
        enabled = True
        write = staticmethod(lines.append)

        def announce_drops(self, notice: object) -> None:
            """Take note of nothing."""

    def fail(_: str, error: BaseException) -> None:
        raise error

    log = EventLogger(
        "x",
        settings=LogSettings(),
        sink=Written(),
        on_error=fail,
        count=dict.fromkeys(LEVELS, lambda: None),
        clock=lambda: 1.0,
    )
    log.info("a.b", nested=nested)
    assert secret.encode() not in lines[0]
    orjson.loads(lines[0])


@given(
    st.text(string.ascii_letters + " äß漢,.!?", max_size=80).filter(lambda text: "asic" not in text.lower())
)
def test_prose_stays(text):
    """Sentences without numbers, colons and equals signs are not touched."""
    assert Redactor().text(text) == text


@given(st.integers(10**12, 2 * 10**12 - 1), st.integers(1, 10**6))
def test_moments_stay(milliseconds, factor):
    """Unix times in milliseconds, microseconds and nanoseconds are not card numbers."""
    for moment in (milliseconds, milliseconds * 1000, milliseconds * 10**6):
        assert Redactor().fields({"at": moment}) == {"at": moment}
        assert Redactor().text(f"at {moment} ms") == f"at {moment} ms"
    text = f"from {datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()} for {factor} s"
    assert Redactor().text(text) == text


@given(st.uuids(), st.binary(min_size=16, max_size=16))
def test_ids_stay(identifier, trace):
    """UUIDs and trace ids are not taken for anything else, whatever digits they are made of."""
    for text in (str(identifier), identifier.hex, trace.hex()):
        assert Redactor().fields({"task_id": text}) == {"task_id": text}


@given(st.text())
def test_redaction_is_final(text):
    """What was redacted once is not changed by redacting it again."""
    once = Redactor().text(text)
    assert Redactor().text(once) == once
