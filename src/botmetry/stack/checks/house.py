"""What the house asks of a dashboard beyond grafana/dashboard-linter: to be found, trusted, and gone on from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

from botmetry.metrics import CATALOGUE
from botmetry.stack.checks.board_file import (
    PROMETHEUS,
    kind_of,
    panels_of,
    read_selectors,
    rows_and_panels_of,
    substituted,
    text_of,
)
from botmetry.stack.checks.problem import Problem
from botmetry.stack.files import StackFiles
from botmetry.stack.located import Located

__all__ = ["check_house", "check_spreads"]

_TAG = "botmetry"
_FIRST = "Is it fine?"
_ALERT = re.compile(r"Alert \w+: ")
_EXPLAINED = ("timeseries", "heatmap")
_ANNOTATED = {"ALERTS": "alerts", "botmetry_build_info": "deploys"}


def check_house(boards: Mapping[str, Located]) -> Iterator[Problem]:
    """Yield what breaks a rule of the house, in dashboards given by the names of their files."""
    variables = {
        uid: {text_of(variable, "name") for variable in board.each("templating", "list")}
        for uid, board in boards.items()
    }
    for uid, board in boards.items():
        yield from _identity(uid, board)
        yield from _numbers(board)
        yield from _annotations(board)
        yield from _links(board, board, "the dashboard", variables)
        for panel in panels_of(board):
            yield from _panel(panel)
            defaults = panel.get("fieldConfig", "defaults")
            for owner in (panel, *([defaults] if defaults is not None else [])):
                yield from _links(board, owner, text_of(panel, "title"), variables)


def check_spreads(files: StackFiles, boards: Mapping[str, Located]) -> Iterator[Problem]:
    """Yield the histograms that no heatmap shows."""
    shown = {
        str(selector.name).removesuffix("_bucket")
        for board in boards.values()
        for panel in panels_of(board)
        if text_of(panel, "type") == "heatmap"
        for target in panel.each("targets")
        for selector, _, _ in read_selectors(text_of(target, "expr"))
    }
    for name, spec in CATALOGUE.items():
        if spec.kind == "histogram" and name not in shown:
            yield Problem(files.dashboards, 1, f"no heatmap shows {name}")


def _identity(uid: str, board: Located) -> Iterator[Problem]:
    found = board.get("uid") or board
    if text_of(board, "uid") != uid:
        yield _problem(found, f"the uid is that of the file, {uid}: links and bookmarks name it")
    tags = [tag.text for tag in board.each("tags")]
    if _TAG not in tags or len(tags) < 2:  # noqa: PLR2004 - the house's and one of its own
        yield _problem(board.get("tags") or board, f"is tagged {_TAG} and by its subject")
    if not text_of(board, "description"):
        yield _problem(
            board.get("description") or board, "has no description: which question does it answer?"
        )
    if not any(_leads_to_the_others(link) for link in board.each("links")):
        yield _problem(
            board.get("links") or board, "has no link to the other dashboards, with variables and time"
        )
    first = next(rows_and_panels_of(board), board)
    if (text_of(first, "type"), text_of(first, "title")) != ("row", _FIRST):
        yield _problem(first.get("title") or first, f"the first row is called {_FIRST}")


def _leads_to_the_others(link: Located) -> bool:
    tags = [tag.text for tag in link.each("tags")]
    wanted = {"type": "dashboards", "includeVars": "true", "keepTime": "true"}
    return tags == [_TAG] and all(text_of(link, key) == value for key, value in wanted.items())


def _numbers(board: Located) -> Iterator[Problem]:
    seen: set[str] = set()
    titles: set[str] = set()
    for panel in rows_and_panels_of(board):
        number, title = text_of(panel, "id"), text_of(panel, "title")
        if not number.isdecimal() or number in seen:
            yield _problem(panel.get("id") or panel, f"{title}: every panel has an id of its own")
        if title in titles and text_of(panel, "type") != "row":
            yield _problem(panel.get("title") or panel, f"{title}: another panel is called that, too")
        seen.add(number)
        if text_of(panel, "type") != "row":
            titles.add(title)
        letters: set[str] = set()
        for target in panel.each("targets"):
            letter = text_of(target, "refId")
            if not letter or letter in letters:
                yield _problem(target.get("refId") or target, f"{title}: every query has a refId of its own")
            letters.add(letter)


def _annotations(board: Located) -> Iterator[Problem]:
    expressions = [text_of(annotation, "expr") for annotation in board.each("annotations", "list")]
    for name, what in _ANNOTATED.items():
        if not any(name in expr for expr in expressions):
            place = board.get("annotations", "list") or board
            yield _problem(place, f"marks no {what}: no annotation reads {name}")


def _panel(panel: Located) -> Iterator[Problem]:
    title, kind = text_of(panel, "title"), text_of(panel, "type")
    steps = list(panel.each("fieldConfig", "defaults", "thresholds", "steps"))
    if len(steps) > 1 and not _ALERT.search(text_of(panel, "description")):
        place = panel.get("fieldConfig", "defaults", "thresholds") or panel
        yield _problem(place, f"{title}: is coloured by a number that no alert compares with")
    asks = [target for target in panel.each("targets") if kind_of(target) == PROMETHEUS]
    urls = [text_of(link, "url") for link in panel.each("links")]
    if (
        asks
        and kind in _EXPLAINED
        and not any(url.startswith(("/d/botmetry-logs", "/explore")) for url in urls)
    ):
        yield _problem(panel.get("links") or panel, f"{title}: leads neither to logs nor to traces")
    for target in asks:
        expr = text_of(target, "expr")
        if kind in _EXPLAINED and "_bucket" in expr and text_of(target, "exemplar") != "true":
            yield _problem(target.get("exemplar") or target, f"{title}: a histogram without its exemplars")
        if kind == "heatmap" and (
            text_of(target, "format") != "heatmap" or "by (le)" not in substituted(expr)
        ):
            yield _problem(
                target.get("format") or target, f"{title}: a heatmap reads buckets by le, as heatmap"
            )
        if kind == "table" and (text_of(target, "format"), text_of(target, "instant")) != ("table", "true"):
            yield _problem(target.get("format") or target, f"{title}: a table asks for one instant, as table")


def _links(
    board: Located, owner: Located, title: str, variables: Mapping[str, set[str]]
) -> Iterator[Problem]:
    for link in owner.each("links"):
        url = link.get("url")
        if url is None or not url.text.startswith("/d/"):
            continue
        parts = urlsplit(url.text)
        uid = parts.path.removeprefix("/d/")
        if uid not in variables:
            yield _problem(url, f"{title}: there is no dashboard {uid}")
            continue
        for name, _ in parse_qsl(
            re.sub(r"\$\{(\w+):queryparam\}", r"var-\1=", parts.query), keep_blank_values=True
        ):
            if name.startswith("var-") and name.removeprefix("var-") not in variables[uid]:
                yield _problem(url, f"{title}: {uid} has no variable {name.removeprefix('var-')}")
        for name in re.findall(r"\$\{(\w+):queryparam\}", parts.query):
            if name not in {text_of(variable, "name") for variable in board.each("templating", "list")}:
                yield _problem(url, f"{title}: there is no variable {name} here")


def _problem(place: Located, message: str) -> Problem:
    return Problem(place.path, place.line, message)
