"""The event loop: uvloop where it is installed, unless ROLECALL_UVLOOP=0; and what signals do while it runs."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rolecall.cli.terminal.console import SIGNALS
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
    with asyncio.Runner(loop_factory=_factory()) as runner:
        try:
            return runner.run(_interruptible(main, stop))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def _interruptible(main: Coroutine[Any, Any, T], stop: StopSignal | None) -> T:
    task = asyncio.ensure_future(main)

    def request() -> None:
        if stop is None:
            task.cancel()
        else:
            stop.request(StopReason.INTERRUPTED)

    with two_stage_interrupt(request, task.cancel):
        return await task


@contextmanager
def two_stage_interrupt(first: Callable[[], object], second: Callable[[], object]) -> Iterator[None]:
    """Call `first` on the first of the signals, and `second` on each later one, while the block runs."""
    loop = asyncio.get_running_loop()
    stages = iter((first,))

    def on_signal() -> None:
        next(stages, second)()

    before = {number: signal.getsignal(number) for number in SIGNALS}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]  # nohup stays nohup
    for number in handled:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if os.environ.get("ROLECALL_UVLOOP", "1") == "0":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
