"""Figures are told in the same words everywhere, and what is not known is not told as a number."""

from dataclasses import replace
from pathlib import Path

from midas.demo.accounting import Account
from midas.demo.figures import Answers, Figures, Work
from midas.demo.options import DemoOptions
from midas.demo.usage import Usage
from midas.demo.wording import address_lines, final_rows, from_here, live_rows, one_line

NOTHING = Figures(
    Work(0.0, None, None, None, None, None, 0, 0), Answers(), Answers(), Usage(0, 0.0, 0.0, 0), None
)
BUSY = Figures(
    Work(3.25, 0.21, 0.905, 0.876, 4, 1.5, 195, 210),
    Answers(195, 0.03, 0.827, 2),
    Answers(90, 0.02, 0.3),
    Usage(600 * 2**20, 0.31, 0.15, 640 * 2**20),
    ("QueueBacklog",),
)


def test_every_figure_is_on_the_screen_and_in_the_line():
    """Requests, p95, confidence, auto-confirmed, queue, its age, alerts, answers, memory and CPU."""
    for text in (" ".join(f"{label} {value}" for label, value in live_rows(BUSY)), one_line(65, BUSY)):
        for figure in (
            "3.2",
            "210 ms",
            "0.91",
            "88%",
            "4 waiting",
            "1.5 s",
            "QueueBacklog",
            "30 ms",
            "827 ms",
            "600 MiB",
            "0.31",
        ):
            assert figure in text, f"{figure} is missing in {text}"
    assert one_line(65, BUSY).startswith("01:05")


def test_an_alert_on_its_way_is_shown():
    """Rules wait for minutes: until then the screen says that the alert is pending, not that nothing is wrong."""
    waiting = replace(BUSY, alerts=(), pending=("AISlowProcessing",))
    for text in (dict(live_rows(waiting))["alerts firing"], one_line(65, waiting)):
        assert "none; pending: AISlowProcessing" in text
    assert "pending" not in one_line(65, BUSY)


def test_what_is_not_known_is_a_dash():
    """Before the first request there is no p95, and without Prometheus nobody knows of alerts."""
    line = one_line(0, NOTHING)
    assert "p95 -" in line
    assert "queue -" in line
    assert "no Prometheus" in line


def test_the_summary_accounts_for_every_task():
    """Enqueued = finished + waiting + running, and what is missing is called lost."""
    rows = dict(final_rows(DemoOptions(), BUSY, Account(200, 190, 5, 2), start_seconds=9.5, restarts=0))
    assert rows["AI tasks"] == "200 enqueued = 190 finished + 5 waiting + 2 with a worker; lost: 3"
    assert rows["started in"] == "9.5 s"
    assert "640 MiB at most" in rows["memory"]
    assert rows["CPU"] == "0.15 cores on average"
    assert "started again" not in rows
    assert "notices" not in rows


def test_the_summary_accounts_for_every_notice():
    """What was to be told and is nowhere is called lost, too."""
    notices = Account(50, 46, 2, 1)
    told = final_rows(DemoOptions(fault="slow-ai"), BUSY, None, notices, start_seconds=1.0, restarts=0)
    assert dict(told)["notices"] == "50 enqueued = 46 finished + 2 waiting + 1 with a bot; lost: 1"
    labels = [label for label, _ in told]
    assert labels.index("notices") == labels.index("AI tasks") + 1


def test_the_summary_shows_the_answers_under_the_fault_apart():
    """The p99 while the AI is slow is not hidden among the answers before."""
    rows = dict(final_rows(DemoOptions(fault="slow-ai"), BUSY, None, start_seconds=1.0, restarts=2))
    assert "p99 300 ms" in rows["with slow-ai"]
    assert "could not be counted" in rows["AI tasks"]
    assert rows["started again"] == "2 programs"


def test_missed_answers_are_told():
    """Users who gave up count."""
    assert "2 missed" in dict(live_rows(BUSY))["users' answers"]
    quiet = replace(BUSY, answers=Answers(5, 0.1, 0.2, 0))
    assert "missed" not in dict(live_rows(quiet))["users' answers"]


def test_addresses_stand_in_columns():
    """The table can be read down."""
    first, second = address_lines({"bot metrics": "http://a", "Loki": "http://b"})
    assert first.index("http") == second.index("http")


def test_a_folder_below_is_told_as_it_is_typed():
    """`.demo/logs` in the working folder, and the whole path of one elsewhere."""
    here = Path("/home/ada/botmetry")
    assert from_here(here / ".demo" / "logs", here) == ".demo/logs"
    assert from_here(Path("/srv/midas/logs"), here) == "/srv/midas/logs"
