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

    before = {number: signal.getsignal(number) for number in SIGNALS}
    ours = [number for number, handler in before.items() if handler is not signal.SIG_IGN]  # nohup stays nohup
    for number in ours:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in ours:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


@contextmanager
def end_at_once() -> Iterator[None]:
    """Let Ctrl-C end the block at once: the event loop would keep it until its next turn."""
    kept = signal.getsignal(signal.SIGINT)
    if kept is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, kept)
