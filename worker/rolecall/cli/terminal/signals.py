"""Ctrl-C and SIGTERM: the first asks for the end, the second ends at once; handlers are put back afterwards."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def two_stage_interrupt(first: Callable[[], object], second: Callable[[], object]) -> Iterator[None]:
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
def interrupt_immediately() -> Iterator[None]:
    """Let each of the signals end the block at once, by KeyboardInterrupt: the loop would keep it for its next turn."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def cancelled_by_signals() -> AbstractContextManager[None]:
    """Cancel the current task on each of the signals while the block runs."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("only a task can be cancelled")
    return two_stage_interrupt(task.cancel, task.cancel)
