"""What the verbs that only read have in common: a reader with its log, and an end on Ctrl-C."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple

from rolecall.app.connection import Connection
from rolecall.cli.terminal.progress_reporter import OutputMode, ProgressReporter
from rolecall.cli.terminal.signals import two_stage_interrupt
from rolecall.engine.clock import Clock
from rolecall.engine.context import RunContext
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import ShutdownRequested, StopReason, StopSignal
from rolecall.engine.throttle.read_client import ReadClient, run_until_stopped


class ReadSession(NamedTuple):
    """A reader, the wish to end, and the clock by which it works."""

    reader: ReadClient
    stop: StopSignal
    clock: Clock


def open_read_session(
    connection: Connection, settings: Settings, voice: OutputMode, log_file: Path | None, *, hide: str
) -> ReadSession:
    """Make a reader whose events go to stderr, as `voice` says, and into `log_file`. `hide` is the token."""
    log = ProgressReporter.choose(voice, os.environ).open_log(log_file, hide=hide)
    context = RunContext.create(settings, log)
    return ReadSession(ReadClient(connection.client, context), context.stop, context.clock)


async def run_reading(work: Coroutine[Any, Any, None], stop: StopSignal) -> bool:
    """Await the reading; False when it was stopped before its end, for which `stop` has the reason."""
    task = asyncio.ensure_future(run_until_stopped(work, stop))
    with two_stage_interrupt(lambda: stop.request(StopReason.INTERRUPTED), task.cancel):
        try:
            await task
        except ShutdownRequested:
            return False
        except asyncio.CancelledError:
            stop.request(StopReason.INTERRUPTED)
            return False
    return True
