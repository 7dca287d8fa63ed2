"""The scripts of the streams queue touch no key that they were not given."""

from __future__ import annotations

import re
from importlib.resources import files

SCRIPTS = [path for path in (files("midas.queue.streams") / "lua").iterdir() if path.name.endswith(".lua")]
CALL = re.compile(
    r"redis\.p?call\(\s*'([A-Z]+)'\s*,\s*(?:'(?:GROUPS|CONSUMERS|CREATE|DELCONSUMER)'\s*,\s*)?([^,)\s]+)"
)
GROUPED = re.compile(r"with_group\(\w+,\s*'([A-Z]+)',\s*([^,)]+)")
PRELUDE = (files("midas.queue.streams") / "lua" / "prelude.lua").read_text(encoding="utf-8")
PLACES = re.search(r"^local ([A-Z, ]+) =\n  unpack\(KEYS", PRELUDE, re.MULTILINE)[1].split(", ")
GIVEN = {
    *PLACES,
    "KEYS[index]",
    "KEYS[index",  # cut by the pattern
    "result",  # a parameter: the result key of a task
    "set",  # a parameter: DELAYED or PARKED
}
NO_KEYS = {"TIME", "PUBLISH"}


def test_every_key_is_declared():
    """Each Redis call in each script names a key of KEYS, so that a cluster can route it."""
    calls = 0
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        for command, key in CALL.findall(text) + GROUPED.findall(text):
            calls += 1
            is_read = command == "XREADGROUP"  # names its stream last
            assert command in NO_KEYS or is_read or key in GIVEN or key.startswith("KEYS["), (
                path.name,
                command,
                key,
            )
    assert calls > 60


def test_no_script_walks_over_keys():
    """None asks for keys by a pattern, which would hold up the server the longer the more there are."""
    for path in SCRIPTS:
        assert not re.search(r"'(KEYS|SCAN|FLUSH\w+|RANDOMKEY)'", path.read_text(encoding="utf-8")), path.name
