"""The messenger's HTML is read as Telegram reads it, complaints included."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas.demo.internet.markup import parse_html
from midas.demo.internet.refusals import RefusalError


def test_tags_become_entities_over_utf16_units():
    """Offsets and lengths count UTF-16 units, so an emoji before a bold word counts as two."""
    text, entities = parse_html('✅😀 <b>H&amp;M</b> <a href="tg://x?a=1&amp;b=2">there</a>')
    assert text == "✅😀 H&M there"
    assert entities == [
        {"type": "bold", "offset": 4, "length": 3},
        {"type": "text_link", "offset": 8, "length": 5, "url": "tg://x?a=1&b=2"},
    ]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("<blink>x</blink>", 'Unsupported start tag "blink" at byte offset 0'),
        ("ä<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("ä</b>", "Unexpected end tag at byte offset 2"),
        ("<b><i>x</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
        ("1 < 2", "Unclosed start tag at byte offset 2"),
    ],
)
def test_wrong_markup_is_refused_with_its_place(source, complaint):
    """Every kind of broken markup is a 400 that names what is wrong and the byte where it is."""
    with pytest.raises(RefusalError) as caught:
        parse_html(source)
    assert caught.value.status == 400
    assert caught.value.description == f"Bad Request: can't parse entities: {complaint}"


@given(st.text())
def test_escaped_text_arrives_unchanged(text):
    """Whatever a person or a bank wrote, escaping it once shows it exactly as it was."""
    assert parse_html(html.escape(text))[0] == text
