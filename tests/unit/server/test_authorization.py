"""Only who knows the secret may read the metrics."""

from __future__ import annotations

import base64

import pytest

from botmetry.server.authorization import Authorization
from botmetry.settings import ServerSettings


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def test_everybody_may_pass_when_nothing_is_configured():
    """Without credentials in the settings every request passes, whatever it brings."""
    authorization = Authorization(ServerSettings())

    assert authorization.allows("")
    assert authorization.allows("Bearer whatever")


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("Bearer s3cret", True),
        ("bearer  s3cret ", True),
        ("Bearer s3cre", False),
        ("Bearer s3cret2", False),
        ("Bearer", False),
        ("", False),
        ("s3cret", False),
        ("Basic s3cret", False),
        ("Bearer ü\udce4", False),
    ],
)
def test_the_bearer_token_must_be_exact(header, allowed):
    """Only the whole token with the scheme Bearer passes."""
    authorization = Authorization(ServerSettings(bearer_token="s3cret"))

    assert authorization.allows(header) is allowed
    assert authorization.challenge == 'Bearer realm="metrics"'


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        (basic("prometheus:pässword:with colon"), True),
        (basic("prometheus:wrong"), False),
        (basic("other:pässword:with colon"), False),
        ("Bearer " + basic("prometheus:pässword:with colon").partition(" ")[2], False),
        ("Basic not-base64", False),
        ("", False),
    ],
)
def test_user_and_password_must_be_exact(header, allowed):
    """Only the configured user name with its password passes, also with letters outside ASCII."""
    authorization = Authorization(ServerSettings(basic_auth=("prometheus", "pässword:with colon")))

    assert authorization.allows(header) is allowed
    assert authorization.challenge.startswith("Basic ")
