from __future__ import annotations

import dataclasses
import time
from typing import NamedTuple

import pytest

from botmetry.logs import Redactor

BOT = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawx"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"bot {BOT} said", "bot 123456789:[redacted] said"),
        (
            f"https://api.telegram.org/bot{BOT}/getMe",
            "https://api.telegram.org/bot123456789:[redacted]/getMe",
        ),
        (f"bot{BOT.replace(':', '%3A')}/getMe", "bot123456789%[redacted]/getMe"),
        ("key sk-proj-abcDEF0123456789", "key sk-[redacted]"),
        ("sk-or-v1-0123456789abcdef", "sk-[redacted]"),
        ("pplx-0123456789abcdef0123", "pplx-[redacted]"),
        ("aws AKIAIOSFODNN7EXAMPLE.", "aws AKIA[redacted]."),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_[redacted]"),
        ("github_pat_11ABCDEFG0123456789_abcdefg", "github_pat_[redacted]"),
        ("xoxb-2345678901-abcdefghij", "xoxb-[redacted]"),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "AI[redacted]"),
        ("GOCSPX-1234567890abcdefghijklmnop", "GOCSPX-[redacted]"),
        ("ya29.a0AfH6SMBx1234567890abcdefghijklmnop", "ya29[redacted]"),
        ("SG.ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc", "SG[redacted]"),
        ("whsec_4eC39HqLyjWDarjtT1zdp7dc4eC39HqL", "whsec_[redacted]"),
        ("dop_v1_0123456789abcdef0123456789abcdef", "dop_v1_[redacted]"),
        ("shpat_0123456789abcdef0123456789abcdef", "shpat_[redacted]"),
        ("pypi-AgEIcHlwaS5vcmcCJDEyMzQ1Njc4", "pypi-A[redacted]"),
        (
            "MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcDE.abcdefghijklmnopqrstuvwxyz0123456789ab",
            "MTIzNDU2Nzg5MDEyMzQ1Njc4.[redacted]",
        ),
        (
            "https://discord.com/api/webhooks/123456789012345678/" + "aB3_" * 17,
            "https://discord.com/api/webhooks/123456789012345678/[redacted]",
        ),
        (
            "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
            "https://hooks.slack.com/services/T00000000/B[redacted]",
        ),
        (
            "AccountName=x;AccountKey=abcDEF123456==;EndpointSuffix=y",
            "AccountName=x;AccountKey=[redacted];EndpointSuffix=y",
        ),
        ("mysql --password hunter2 -u x", "mysql --password [redacted] -u x"),
        (
            "Command '['mysql', '--api-key', 'a b', '-u']'",
            "Command '['mysql', '--api-key', '[redacted]', '-u']'",
        ),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_DEF-123", "eyJ[redacted]"),
        ("sent Bearer abc.def_ghi", "sent Bearer [redacted]"),
        ("Authorization: Bearer abc.def_ghi, next", "Authorization: [redacted], next"),
        ("authorization=Basic dXNlcjpwYXNz", "authorization=[redacted]"),
        ("got Basic dXNlcjpwYXNz back", "got Basic [redacted] back"),
        ('Authorization: Digest username="a", response="b"\nHost: x', "Authorization: [redacted]\nHost: x"),
        ("Cookie: a=b; c=d\nnext", "Cookie: [redacted]\nnext"),
        ("password=hunter2, user=5", "password=[redacted], user=5"),
        ("password=hunter2,user=5", "password=[redacted],user=5"),
        ("password='multi word' x", "password=[redacted] x"),
        ("api_key: 'a b c', x", "api_key: [redacted], x"),
        ("X-Api-Key: abc", "X-Api-Key: [redacted]"),
        ("db.password => abc", "db.password => [redacted]"),
        ("deepseekApiKey := abc;", "deepseekApiKey := [redacted];"),
        ("?token=abc&x=1", "?token=[redacted]&x=1"),
        ('{"password": "a \\"b c", "n": 1}', '{"password": [redacted], "n": 1}'),
        ('{\\"password\\": \\"a b\\", \\"n\\": 1}', '{\\"password\\": [redacted], \\"n\\": 1}'),
        ("{'client_secret': b'a b'}", "{'client_secret': [redacted]}"),
        ("postgresql://midas:p@ss/w@db:5432/x?y=1", "postgresql://midas:[redacted]@db:5432/x?y=1"),
        ("redis://:secret@h:6379/0", "redis://:[redacted]@h:6379/0"),
        ("a redis://:1/2@h b https://u:2@h/", "a redis://:[redacted]@h b https://u:[redacted]@h/"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- x", "[redacted] x"),
        ("card 4111 1111 1111 1111, thanks", "card [redacted], thanks"),
        ("4111-1111-1111-1111", "[redacted]"),
        ("4111111111111111", "[redacted]"),
        ("4111\u00a01111\u00a01111\u00a01111", "[redacted]"),
        ("3782 822463 10005", "[redacted]"),
        ("amount 12 5500 0000 0000 0004 123 x", "amount 12 [redacted] 123 x"),
        ("4222222222222", "[redacted]"),
        ("no.4111111111111111.", "no.[redacted]."),
        ("DE89 3704 0044 0532 0130 00 is mine", "[redacted] is mine"),
        ("from GB82WEST12345698765432 to de89370400440532013000.", "from [redacted] to [redacted]."),
        ("DE89-3704-0044-0532-0130-00", "[redacted]"),
        ("xDE89370400440532013000y", "x[redacted]y"),
    ],
)
def test_secrets_in_texts_are_removed(text, redacted):
    """Each kind of secret is taken out of a text, what stands around it stays, and a second pass changes nothing."""
    redactor = Redactor()
    assert redactor.text(text) == redacted
    assert redactor.text(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "task-abcdefghijklmnopqrst is a task",
        "risk-assessment-model-for-everyone",
        "basic functionality and Basic authentication",
        "Bearer token is missing",
        "https://host:8080/@me",
        "https://example.org/a:b@c",
        "ssh://git@github.com/x",
        "mailto:someone@example.org",
        "12:30:15 to 13:45:00",
        "1732240000123",
        "1732240000123456",
        "at 1732240000123456789 ns",
        "took 0.4111111111111111 s",
        "2026-11-22 2026-11-23",
        "2026-11-22T12:00:00.123456+01:00",
        "4111111111111112 fails the check",
        "41111111111111111111 is too long",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "41111111-1111-4111-8111-111111111111",
        "DE88 3704 0044 0532 0130 00 fails the check",
        "tokens=512 input_tokens: 12 max_tokens=7",
        "token=None password=null secret=''",
        "user_id=7 command=balance",
        "LIDL 1234 BERLIN",
        "see --help or --token-file=/x -- --password",
        "v9.1.2 /BILLING/a1b2c3d4e5f6 https://a.example/x/1234567890123456789/y",
        "KeyError: 'balance'",
        'File "/srv/bot.py", line 12, in handle',
        "",
    ],
)
def test_what_is_no_secret_stays(text):
    """Ids, moments, amounts, prose and addresses are left alone, and returned as the same object."""
    assert Redactor().text(text) is text


def test_values_of_secret_names_are_removed_at_any_depth():
    """A field is a secret by its name, whatever its value, its case and the depth it stands at."""
    redactor = Redactor(redact_keys=("E-Mail", "geheim"))
    fields = {
        "password": "x",
        "apiToken": 5,
        "Authorization": ["a", "b"],
        "CLIENT-SECRET": {"a": 1},
        "email": "a@b.c",
        "nested": [{"deeper": ({"bot_token": "y", "GEHEIM": 1, "plain": "z"},)}],
        "headers": [("Authorization", "abc"), ("Host", "here")],
        "tokens": 512,
        "token": None,
        "has_password": True,
    }
    assert redactor.fields(fields) == {
        "password": "[redacted]",
        "apiToken": "[redacted]",
        "Authorization": "[redacted]",
        "CLIENT-SECRET": "[redacted]",
        "email": "[redacted]",
        "nested": [{"deeper": [{"bot_token": "[redacted]", "GEHEIM": "[redacted]", "plain": "z"}]}],
        "headers": [["Authorization", "[redacted]"], ["Host", "here"]],
        "tokens": 512,
        "token": None,
        "has_password": True,
    }


def test_configured_names_are_secret_in_texts_too():
    """What `redact_keys` names is removed where it is written as `name=value`."""
    assert Redactor(("email",)).text("email=a@b.c email: a@b.c") == "email=[redacted] email: [redacted]"


def test_secrets_in_keys_and_in_values_of_any_type_are_removed():
    """Names of members, texts of objects, bytes and numbers pass the same search as strings."""

    @dataclasses.dataclass
    class Account:
        login: str
        password: str

    class Client:
        def __repr__(self) -> str:
            return f"Client(token='{BOT}')"

    safe = Redactor().fields(
        {
            f"key {BOT}": 1,
            "members": {f"sk-{'a1' * 10}": 1},
            "account": Account("me", "hunter2"),
            "client": Client(),
            "bytes": f"card {4111111111111111}".encode(),
            "card": 4111111111111111,
            "negative": -4111111111111111,
            "moment": 1732240000123,
            "error": ConnectionError("redis://:pw@host"),
        }
    )
    assert safe == {
        "key 123456789:[redacted]": 1,
        "members": {"sk-[redacted]": 1},
        "account": {"login": "me", "password": "[redacted]"},
        "client": "Client(token=[redacted])",
        "bytes": "card [redacted]",
        "card": "[redacted]",
        "negative": "[redacted]",
        "moment": 1732240000123,
        "error": "ConnectionError: redis://:[redacted]@host",
    }


def test_names_that_meet_after_redaction_do_not_overwrite_each_other():
    """Two fields whose names become the same keep both values."""
    safe = Redactor(reserved=frozenset({"level"})).fields({"field_level": 1, "level": 2})
    assert safe == {"field_level": 1, "field_level_": 2}


def test_what_is_remembered_is_bounded():
    """Any number of different strings, names and user ids is handled in constant memory."""
    redactor = Redactor(user_id_key="k")
    for n in range(30_000):
        redactor.fields({f"name{n}": f"value{n}", "user_id": n})
    assert len(redactor._clean) <= 8192
    assert len(redactor._plain_names) <= 8192
    assert len(redactor._names._memo) <= 4096


def test_a_user_id_is_hashed_with_a_key_of_any_length():
    """Keys of any length and script can be used; an absent user id stays absent."""
    hashes = {Redactor(user_id_key=key).value("user_id", 7) for key in ("a", "b", "a" * 1000, "ключ", "")}
    assert len(hashes) == 5
    assert Redactor(user_id_key="k").value("user_id", None) is None


HOSTILE = [
    *(
        "1 ",
        "4 ",
        "4",
        "4111 1111 1111 1111 ",
        "2026-11-22 ",
        "DE89",
        "DE89 3704 0044 0532 0130 00 ",
        "12345:",
    ),
    *("password=", 'password="\\', "password", "a:", "= ", ":", "=", "\\", '\\"', "'", '"', "&a=", ",a"),
    *(
        "://",
        "://a:",
        "@",
        "://u:p@",
        "eyJ",
        "eyJa.",
        "sk-",
        "xoxb-",
        "-",
        "_",
        "a",
        "é",
        " ",
        "\n",
        "\ud800",
    ),
    *("-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "bearer ", "basic ", "Authorization: Digest ", "cookie:"),
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_texts_take_time_in_proportion_to_their_length(unit):
    """Eight times the text takes about eight times as long; a quadratic search would take sixty-four times."""
    small, large = (unit * (size // len(unit)) for size in (16_000, 128_000))

    def seconds(text: str) -> float:
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            Redactor().text(text)
            best = min(best, time.process_time() - began)
        return best

    ratios = []
    for _ in range(3):  # the least of three: another process may have been in the way
        ratios.append(seconds(large) / max(seconds(small), 1e-5))
        if ratios[-1] < 24:
            break
    assert min(ratios) < 24


class Login(NamedTuple):
    user: str
    password: str


@dataclasses.dataclass
class Settings:
    host: str
    key_of_users: str = dataclasses.field(repr=False)


def test_names_inside_of_tuples_and_what_a_dataclass_does_not_show_are_respected():
    """A named tuple is no list, an option's value follows it, and `repr=False` is how a dataclass says secret."""
    assert Redactor().fields(
        {
            "login": Login("ann", "hunter2"),
            "settings": Settings("h", "hunter2"),
            "argv": ["x", "--token", "hunter2"],
        }
    ) == {
        "login": {"user": "ann", "password": "[redacted]"},
        "settings": {"host": "h"},
        "argv": ["x", "--token", "[redacted]"],
    }
