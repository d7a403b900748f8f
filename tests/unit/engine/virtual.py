"""An event loop whose time jumps: when nothing is ready it goes on to the next timer instead of waiting."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

from rolecall.engine.clock import Clock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BEGINNING = 1000.0
"""What the virtual clock shows at first."""
EPOCH = 1_700_000_000.0
"""The wall clock when the virtual one shows nought."""
THREAD_PATIENCE = 30.0
"""Real seconds for which a thread may work before the test is given up."""


class Stuck(Exception):  # noqa: N818 - a verdict of the loop
    """Nothing is ready, no timer is set and no thread works: the test would wait for ever."""


class Jumps(selectors.DefaultSelector):
    """Never waits for time to pass, only for threads."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGINNING
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.threads and timeout != 0:
            events = super().select(THREAD_PATIENCE)
            if not events:
                raise Stuck("a thread does not come to its end")
            return events
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if timeout is None:
            raise Stuck
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Work on threads takes no virtual time; a loop that would wait for ever raises Stuck."""

    def __init__(self, jumps: Jumps | None = None) -> None:
        self._jumps = jumps or Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        """Give virtual seconds."""
        return self._jumps.now

    def skip(self, seconds: float) -> None:
        """Let time pass while the loop stands still, as in a blocking call."""
        self._jumps.now += seconds

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Let time stand still until the thread is done."""
        self._jumps.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_is_done)
        return future

    def _thread_is_done(self, _: object) -> None:
        self._jumps.threads -= 1


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time; for tests that hypothesis drives, each example on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def virtual_clock() -> Clock:
    """Give the clock of the running loop."""
    loop = asyncio.get_running_loop()
    return Clock(now=loop.time, wall=lambda: EPOCH + loop.time())


async def turns(count: int = 20) -> None:
    """Let everything that is ready run; no time passes."""
    for _ in range(count):
        await asyncio.sleep(0)
