"""Whoever asks which faults there are is told what each does and when its alert comes."""

from midas.cli.program import main
from midas.demo.fault_list import expectation, only_awaited
from midas.demo.faults import FAULTS
from midas.demo.figures import Answers, Figures, Work
from midas.demo.usage import Usage


def test_a_question_mark_lists_the_faults(capsys):
    """`make demo FAULT=?` is a question and no wrong call: a line a fault with its effect and its alert."""
    assert main(["demo", "--fault=?"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(FAULTS)
    for line, about in zip(lines, FAULTS.values(), strict=True):
        assert about.what in line
        assert about.alert in line


def test_how_long_a_rule_waits_is_told():
    """Who watches for four minutes what fires after five would believe that it does not work."""
    assert expectation("AISlowProcessing") == "AISlowProcessing should fire once that has lasted 5m"
    assert expectation("RedisConnectionErrors") == "RedisConnectionErrors should fire"


def test_only_the_alert_of_a_fault_is_shown_as_pending():
    """In the first seconds no target is known and no user has come: that is pending, and nothing to tell."""
    work = Work(0.0, None, None, None, None, None, 0, 0)
    starting = Figures(
        work, Answers(), Answers(), Usage(0, 0.0, 0.0, 0), (), ("AISlowProcessing", "TargetMissing")
    )
    assert only_awaited(starting, ()).pending == ()
    assert only_awaited(starting, ("slow-ai",)).pending == ("AISlowProcessing",)
