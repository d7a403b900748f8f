"""Ctrl-C and SIGTERM: the first asks for the end, the second ends at once; handlers are put back afterwards."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def two_stage_interrupt(first: Callable[[], None], second: Callable[[], object]) -> Iterator[None]:
    """Call `first` on the first of the signals, and `second` on each later one, while the block runs."""
    loop = asyncio.get_running_loop()
    stages = iter((first,))

    def on_signal() -> None:
        next(stages, second)()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
