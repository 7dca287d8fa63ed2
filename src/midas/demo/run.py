"""``midas demo``: one run of the demo as a person sees it, from the first line to the exit code.

It ends after its duration, at Ctrl-C, SIGTERM or with its terminal, with a summary and exit code 0: being told to end
is no failure. A second Ctrl-C does not wait for anybody; a terminal that goes tells twice, by its shell and by the
kernel, and means it once.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from botmetry.errors import BotmetryError
from midas.demo.fault_list import expectation, only_awaited
from midas.demo.faults import FAULTS
from midas.demo.options import DemoOptions
from midas.demo.screen import Screen
from midas.demo.supervisor import Demo
from midas.demo.system_packages import missing_watchers
from midas.demo.wording import final_rows, from_here
from midas.errors import MidasError

__all__ = ["run_demo"]

_LOOK_SECONDS = 2.0
WRONG_CALL = 2


def run_demo(options: DemoOptions, environ: Mapping[str, str]) -> int:
    """Run it to its end and return the exit code: 0, or 2 with one line when it could not start."""
    screen = Screen(Console(), options.duration_seconds)
    try:
        return asyncio.run(_run(options, environ, screen))
    except (MidasError, BotmetryError, OSError) as error:
        screen.complain(f"midas demo: {error}")
        return WRONG_CALL


async def _run(options: DemoOptions, environ: Mapping[str, str], screen: Screen) -> int:
    end = asyncio.Event()
    _listen_for_signals(end)
    demo = Demo(options, environ, say=screen.say)
    starting = asyncio.create_task(demo.start())
    await _first(starting, end)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        screen.say("stopped while it started; nothing is left behind")
        return 0
    await starting
    try:
        return await _watch(demo, screen, end)
    finally:
        await demo.stop()


async def _watch(demo: Demo, screen: Screen, end: asyncio.Event) -> int:
    options = demo.options
    screen.say(f"everything runs after {demo.started_in_seconds:.1f} s")
    screen.show_addresses(demo.addresses, f"{from_here(demo.folder.logs, Path.cwd())}/*.jsonl")
    for line in missing_watchers():
        screen.say(line)
    began = time.monotonic()
    fault = asyncio.create_task(_provoke(demo, screen))
    try:
        with screen:
            while not _is_over(began, options.duration_seconds):
                faults = demo.faults.active
                screen.show(only_awaited(await demo.observer.live(), faults), faults)
                if await _happens(end, _pause(began, options.duration_seconds)):
                    break
            figures = only_awaited(await demo.observer.whole(), demo.faults.active)
    finally:
        fault.cancel()
        await asyncio.gather(fault, return_exceptions=True)
    ran = time.monotonic() - began
    screen.say("stopping …")
    await demo.stop()
    rows = final_rows(
        options,
        figures,
        demo.account,
        demo.notices,
        start_seconds=demo.started_in_seconds,
        restarts=demo.keeper.restarts,
    )
    screen.show_summary(f"midas ran {ran:.0f} s", rows)
    return 0


async def _provoke(demo: Demo, screen: Screen) -> None:
    name = demo.options.fault
    if name is None:
        return
    if name not in demo.faults.active:
        await asyncio.sleep(demo.options.fault_after_seconds)
    about = FAULTS[name]
    try:
        await demo.faults.begin(name)
    except (MidasError, OSError) as error:
        screen.say(f"FAULT={name} could not begin: {error}")
        return
    screen.say(f"FAULT={name}: {about.what}; {expectation(about.alert)}")


def _listen_for_signals(end: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if end.is_set() and number is not signal.SIGHUP:
            os._exit(1)  # the children's death signal ends them with us
        end.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal, number)


async def _first(starting: asyncio.Task[None], end: asyncio.Event) -> None:
    ending = asyncio.create_task(end.wait())
    await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event at most so long; return whether it came."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


def _is_over(began: float, duration: float | None) -> bool:
    return duration is not None and time.monotonic() - began >= duration


def _pause(began: float, duration: float | None) -> float:
    """Return how long to wait until the next look; the last one falls on the end."""
    left = _LOOK_SECONDS if duration is None else began + duration - time.monotonic()
    return max(0.0, min(_LOOK_SECONDS, left))
