"""Single samples out of an exposition, as `?name[]=` asks for them.

The text is filtered, not the collectors: whatever is exposed, ours, the process's or a foreign collector's, can be
chosen by the name that a reader sees. Choosing is for people and small checks, and may cost a whole rendering.
"""

from __future__ import annotations

import re

__all__ = ["only_samples"]

_NAME = re.compile(rb"[^{ ]+")


def only_samples(exposition: bytes, names: frozenset[str]) -> bytes:
    """Return the samples of `exposition` that are called one of `names`, each family below its own comments."""
    wanted = {name.encode() for name in names}
    kept: list[bytes] = []
    comments: list[bytes] = []
    below = False
    for line in exposition.splitlines(keepends=True):
        if line.startswith(b"# EOF"):
            kept.append(line)
        elif line.startswith(b"#"):
            comments = [line] if below else [*comments, line]
            below = False
        else:
            below = True
            name = _NAME.match(line)
            if name is not None and name[0] in wanted:
                kept += [*comments, line]
                comments = []
    return b"".join(kept)
