"""`midas queue` on a real Redis: what is where, what was given up, and what becomes of it."""

import asyncio
import json

import pytest

from midas.cli import main
from midas.queue import AITaskQueue, GiveUp, TaskQueue, Worker
from midas.redis import connect
from midas.sync.notices import notices_config


@pytest.fixture(name="midas")
def _midas(redis_url, monkeypatch, capsys, tmp_path):
    """Give a function that calls `midas` and returns its exit code, its answer and its complaint."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main(arguments)
        printed = capsys.readouterr()
        return code, printed.out.strip(), printed.err.strip()

    return call


@pytest.fixture(name="given_up")
def _given_up(redis_url):
    """Two notices that nobody will ever send, one of them with a traceback, and an AI task that nobody could read."""

    async def prepare():
        async with TaskQueue(notices_config(redis_url)) as queue:
            await queue.add_task("tell", {"chat_id": 7}, task_id="first")
            await queue.add_task("unheard", {"chat_id": 8}, task_id="second")

            def tell(payload):
                raise GiveUp(f"no such chat: {payload['chat_id']}")

            await Worker(queue, {"tell": tell}).run(until_empty=True)
        async with connect(redis_url) as redis, AITaskQueue(redis) as queue:
            await queue.enqueue_task("categorize_transaction", {}, task_id="third")
            await queue.bury(await queue.dequeue_task("w", 1.0), "no worker knows how")

    asyncio.run(prepare())


def test_the_queues_are_listed(midas, given_up):
    """Both queues have a line, with their dead letters; for a program it is JSON with the same figures."""
    code, answer, _ = midas("queue", "ls")
    assert code == 0
    lines = [line.split() for line in answer.splitlines()]
    assert [line[0] for line in lines] == ["QUEUE", "ai", "notices"]
    data = json.loads(midas("queue", "ls", "--json")[1])
    assert [(queue["queue"], queue["dead"], queue["ready"]) for queue in data] == [
        ("ai", 1, 0),
        ("notices", 2, 0),
    ]


def test_dead_letters_are_shown(midas, given_up):
    """A line each, and one of them whole: its payload, its reason, its traceback."""
    _, answer, _ = midas("queue", "show", "notices")
    assert "first" in answer
    assert "no such chat: 7" in answer
    _, answer, _ = midas("queue", "show", "notices", "first")
    assert '{"chat_id":7}' in answer
    assert "Traceback" in answer
    assert json.loads(midas("queue", "show", "notices", "second", "--json")[1])["type"] == "unheard"
    assert "no worker knows how" in midas("queue", "show", "ai")[1]
    assert json.loads(midas("queue", "show", "ai", "third", "--json")[1])["deliveries"] == 1


def test_dead_letters_are_replayed_and_purged(midas, given_up):
    """One goes back in line under its id, the other is thrown away, and then there is none."""
    assert midas("queue", "replay", "notices", "first") == (0, "notices: 1 replayed", "")
    assert json.loads(midas("queue", "stats", "notices", "--json")[1])["waiting_normal"] == 1
    assert midas("queue", "purge", "notices", "--all") == (0, "notices: 1 purged", "")
    assert midas("queue", "show", "notices") == (0, "notices has no dead letters", "")
    assert json.loads(midas("queue", "purge", "ai", "--all", "--json")[1])["tasks"] == 1
    assert midas("queue", "show", "ai") == (0, "ai has no dead letters", "")


def test_statistics_are_told(midas, given_up):
    """What was done how often since the queue was made."""
    code, answer, _ = midas("queue", "stats", "notices")
    figures = dict(line.rsplit(maxsplit=1) for line in answer.splitlines())
    assert code == 0
    assert (figures["added"], figures["dead"], figures["waiting NORMAL"]) == ("2", "2", "0")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("queue", "show", "mail"), ("no queue 'mail'", "ai, notices")),
        (("queue", "show", "notices", "nobody"), ("no dead letter nobody", "midas queue show notices")),
        (("queue", "replay", "notices"), ("--all",)),
        (("queue", "replay", "notices", "nobody"), ("no dead letter nobody",)),
        (("queue", "replay", "ai", "--all"), ("cannot replay",)),
        (("queue", "purge", "ai", "third"), ("--all",)),
    ],
)
def test_a_wrong_call_is_one_line(midas, given_up, arguments, words):
    """The line says what does not exist or cannot be done, and the exit code is 2."""
    code, answer, complaint = midas(*arguments)
    assert (code, answer, len(complaint.splitlines())) == (2, "", 1)
    for word in words:
        assert word in complaint
