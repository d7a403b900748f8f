"""Signals while an event loop runs: the first requests the end, the second ends at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rolecall.cli.terminal.early_interrupt import SIGNALS, exit_immediately


class LoopSignals:
    """The signals of one event loop, which may come at any moment until the loop is closed.

    Python's own handlers are set, not those of the loop: a loop resets them before it is closed, and a signal in that
    moment would end the process although its result is complete.
    """

    def __init__(self) -> None:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self._handled = [number for number, handler in self._before.items() if handler is not signal.SIG_IGN]
        """The others stay ignored: nohup stays nohup."""
        self._was_interrupted = False

    @contextmanager
    def two_stages(self, first: Callable[[], object], second: Callable[[], object]) -> Iterator[None]:
        """Call `first` on the first of the signals, and `second` on each later one, while the block runs.

        They are called by the running event loop. After the block the signals are ignored; a process that was
        interrupted is ended by one more of them, because closing the loop may wait for a thread.
        """
        import asyncio  # here: it is slow to import, and usage errors need no loop

        loop = asyncio.get_running_loop()
        stages = iter((first,))

        def on_signal(number: int, frame: object) -> None:
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


@contextmanager
def interrupt_immediately() -> Iterator[None]:
    """Let each of the signals raise KeyboardInterrupt in the block, which blocks the event loop."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
