"""The event loop: uvloop where it is installed, unless ROLECALL_UVLOOP=0; and what signals do while it runs."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rolecall.cli.terminal.early_interrupt import SIGNALS, exit_immediately
from rolecall.engine.stop_signal import StopReason, StopSignal

T = TypeVar("T")


def run(
    main: Coroutine[Any, Any, T], stop: StopSignal | None = None, *, on_hangup: Callable[[], object] | None = None
) -> T:
    """Run a coroutine on a new event loop and return its result.

    The first signal (Ctrl-C, SIGTERM, SIGHUP) requests `stop`; the next one, or the first one without `stop`, cancels
    the coroutine. With `on_hangup`, SIGHUP calls it instead, unless the terminal of the process was closed. Raises
    KeyboardInterrupt after a cancellation.
    """
    # Imported modules stay, so the garbage collector can skip them, and examine the rest less often.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    signals = LoopSignals(on_hangup)
    try:
        with asyncio.Runner(loop_factory=_factory()) as runner:
            return runner.run(_interruptible(main, stop, signals))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        signals.restore()


async def _interruptible(main: Coroutine[Any, Any, T], stop: StopSignal | None, signals: "LoopSignals") -> T:
    task = asyncio.ensure_future(main)

    def request() -> None:
        if stop is None:
            task.cancel()
        else:
            stop.request(StopReason.INTERRUPTED)

    with signals.two_stages(request, task.cancel):
        return await task


class LoopSignals:
    """The signals of one event loop, which may come at any moment until the loop is closed.

    Python's own handlers are set, not those of the loop: a loop resets them before it is closed, and a signal in that
    moment would end the process although its result is complete.
    """

    def __init__(self, on_hangup: Callable[[], object] | None = None) -> None:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self._handled = [number for number, handler in self._before.items() if handler is not signal.SIG_IGN]
        """The others stay ignored: nohup stays nohup."""
        self._on_hangup = on_hangup
        self._may_lose_terminal = False
        if on_hangup is not None and signal.SIGHUP in self._handled:
            self._may_lose_terminal = _has_terminal()
        elif on_hangup is not None:
            self._handled.append(signal.SIGHUP)
        self._was_interrupted = False

    @contextmanager
    def two_stages(self, first: Callable[[], object], second: Callable[[], object]) -> Iterator[None]:
        """Call `first` on the first of the signals, and `second` on each later one, while the block runs.

        They are called by the running event loop. After the block the signals are ignored; a process that was
        interrupted is ended by one more of them, because closing the loop may wait for a thread.
        """
        loop = asyncio.get_running_loop()
        stages = iter((first,))

        def on_signal(number: int, frame: object) -> None:
            is_hangup = number == signal.SIGHUP and (not self._may_lose_terminal or _has_terminal())
            if is_hangup and self._on_hangup is not None:
                loop.call_soon_threadsafe(self._on_hangup)
                return
            self._was_interrupted = True
            loop.call_soon_threadsafe(next(stages, second))

        self._set(on_signal)
        try:
            yield
        finally:
            self._set(exit_immediately if self._was_interrupted else signal.SIG_IGN)

    def restore(self) -> None:
        """Restore the previous handlers, once the loop is closed; of the command's own process, ignore the signals.

        Its result is complete then, and it has one loop.
        """
        for number in self._handled:
            before = self._before[number]
            is_complete = before is exit_immediately and not self._was_interrupted
            signal.signal(number, signal.SIG_IGN if is_complete else before)

    def _set(self, handler: Callable[[int, object], object] | signal.Handlers) -> None:
        for number in self._handled:
            signal.signal(number, handler)


def _has_terminal() -> bool:
    """Return whether the process has a terminal that is open: after it was closed, SIGHUP comes, and it has none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if os.environ.get("ROLECALL_UVLOOP", "1") == "0":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
