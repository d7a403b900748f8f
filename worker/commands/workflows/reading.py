"""What the verbs that only read have in common: a reader with its log, and an end on Ctrl-C."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple

from worker.commands.terminal.showing import Showing, Voice
from worker.commands.terminal.signals import two_stage_interrupt
from worker.commands.workflows.connection import Connected
from worker.engine.clock import Clock
from worker.engine.events import Events
from worker.engine.reading import Reader, Stopped, until_stopped
from worker.engine.reasons import StopReason
from worker.engine.settings import Settings
from worker.engine.stop import Stop


class Desk(NamedTuple):
    """A reader, the wish to end, and the clock by which it works."""

    reader: Reader
    stop: Stop
    clock: Clock


def open_desk(connection: Connected, settings: Settings, voice: Voice, log_file: Path | None, *, hide: str) -> Desk:
    """Make a reader whose events go to stderr, as `voice` says, and into `log_file`. `hide` is the token."""
    stop, clock = Stop(), Clock()
    log = Showing.choose(voice, os.environ).open_log(log_file, hide=hide)
    return Desk(Reader(connection.client, settings, stop=stop, clock=clock, events=Events(log, clock)), stop, clock)


async def to_its_end(work: Coroutine[Any, Any, None], stop: Stop) -> bool:
    """Await the reading; False when it was stopped before its end, for which `stop` has the reason."""
    task = asyncio.ensure_future(until_stopped(work, stop))
    with two_stage_interrupt(lambda: stop.ask(StopReason.INTERRUPTED), task.cancel):
        try:
            await task
        except Stopped:
            return False
        except asyncio.CancelledError:
            stop.ask(StopReason.INTERRUPTED)
            return False
    return True
