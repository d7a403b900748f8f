"""Signals: the first requests the end, the second ends at once; the previous handlers are restored afterwards."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def two_stage_interrupt(first: Callable[[], object], second: Callable[[], object]) -> Iterator[None]:
    """Call `first` on the first of the signals, and `second` on each later one, while the block runs."""
    import asyncio  # here: it is slow to import, and usage errors need no loop

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
