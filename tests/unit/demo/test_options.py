"""What the demo can be told is checked before anything starts."""

import argparse

import pytest

from midas.demo.errors import WrongCall
from midas.demo.faults import FAULTS, check_fault
from midas.demo.options import FAULT_NAMES, DemoOptions, Ports, add_arguments, options_from


def options(*arguments: str, **environ: str) -> DemoOptions:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return options_from(parser.parse_args(arguments), environ)


def test_empty_values_count_as_not_given():
    """A Makefile passes `--duration ""` for a variable that nobody set, and gets the defaults."""
    given = options("--duration", "", "--fault", "", "--workers", "", "--seed", "", "--data", "")
    assert given == options() == DemoOptions()


def test_values_arrive():
    """Every option reaches its attribute."""
    given = options(
        "--duration", "2.5", "--fault", "slow-ai", "--workers", "3", "--seed", "9", "--bot-port", "9000"
    )
    assert (given.duration_seconds, given.fault, given.workers, given.seed) == (2.5, "slow-ai", 3, 9)
    assert given.ports == Ports(bot=9000)


def test_a_port_comes_from_the_option_else_the_environment_else_the_default():
    """`make demo PROMETHEUS_PORT=9191` works, and the option wins over it."""
    assert options(PROMETHEUS_PORT="9191").ports.prometheus == 9191
    assert options("--prometheus-port", "9292", PROMETHEUS_PORT="9191").ports.prometheus == 9292


def test_port_zero_takes_free_ones_that_do_not_collide():
    """With 0 everywhere a demo gets different free ports, the workers' neighbours included."""
    zeros = [
        argument
        for name in ("bot", "worker", "prometheus", "alertmanager")
        for argument in (f"--{name}-port", "0")
    ]
    ports = options(*zeros, "--workers", "4").ports
    chosen = [ports.bot, ports.prometheus, ports.alertmanager, *range(ports.worker, ports.worker + 4)]
    assert len(set(chosen)) == len(chosen)
    assert min(chosen) > 1024


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--duration", "soon"], ("DURATION", "'soon'", "60")),
        (["--duration", "0"], ("DURATION", "'0'")),
        (["--duration", "-3"], ("DURATION", "'-3'")),
        (["--duration", "nan"], ("DURATION", "'nan'")),
        (["--duration", "inf"], ("DURATION", "'inf'")),
        (["--fault", "fire"], ("FAULT", "'fire'", *FAULT_NAMES)),
        (["--workers", "0"], ("WORKERS", "'0'", "1 to 8")),
        (["--workers", "many"], ("WORKERS", "'many'")),
        (["--seed", "x"], ("SEED", "'x'")),
        (["--loki-port", "70000"], ("LOKI_PORT", "'70000'", "65535")),
    ],
)
def test_an_impossible_value_is_one_line_that_names_variable_value_and_remedy(arguments, words):
    """Nobody has to guess which value was wrong or what would be right."""
    with pytest.raises(WrongCall) as caught:
        options(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_the_seven_faults_are_the_seven_alerts():
    """Each fault names its alert, and none is missing on either side."""
    assert tuple(FAULTS) == FAULT_NAMES
    assert {fault.alert for fault in FAULTS.values()} == {
        "BotHighErrorRate",
        "AILowConfidence",
        "QueueBacklog",
        "AISlowProcessing",
        "DatabaseSlowQueries",
        "RedisConnectionErrors",
        "BotNoActiveUsers",
    }


def test_a_fault_never_breaks_a_service_that_is_not_the_demos_own():
    """With REDIS_URL set, redis-down is refused and says why; other faults are not."""
    with pytest.raises(WrongCall, match=r"redis-down.*REDIS_URL"):
        check_fault("redis-down", {"REDIS_URL"})
    check_fault("silence", {"REDIS_URL"})
