"""The event loop: uvloop where it is installed, unless ROLECALL_UVLOOP=0; and what signals do while it runs."""

import asyncio
import gc
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from rolecall.cli.terminal.signals import LoopSignals
from rolecall.engine.stop_signal import StopReason, StopSignal

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], stop: StopSignal | None = None) -> T:
    """Run a coroutine on a new event loop and return its result.

    The first signal (Ctrl-C, SIGTERM, SIGHUP) requests `stop`; the next one, or the first one without `stop`, cancels
    the coroutine. Raises KeyboardInterrupt after a cancellation.
    """
    # Imported modules stay, so the garbage collector can skip them, and examine the rest less often.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    signals = LoopSignals()
    try:
        with asyncio.Runner(loop_factory=_factory()) as runner:
            return runner.run(_interruptible(main, stop, signals))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        signals.restore()


async def _interruptible(main: Coroutine[Any, Any, T], stop: StopSignal | None, signals: LoopSignals) -> T:
    task = asyncio.ensure_future(main)

    def request() -> None:
        if stop is None:
            task.cancel()
        else:
            stop.request(StopReason.INTERRUPTED)

    with signals.two_stages(request, task.cancel):
        return await task


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if os.environ.get("ROLECALL_UVLOOP", "1") == "0":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
