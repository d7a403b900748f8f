"""The event loop of a simulation: virtual time, and the same order of events in every process.

Tasks have numbers, by which sets of them are ordered: their usual hash is their address in memory.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVarTuple

from tests.unit.engine.virtual import Stuck, VirtualLoop

Ts = TypeVarTuple("Ts")


OWNER: ContextVar[object] = ContextVar("process", default=None)
"""The process that callbacks belong to, where a simulation has several."""


class NumberedTask(asyncio.Task[Any]):
    """A task whose hash is its number."""

    number = 0
    owner: object = None
    """The process that it belongs to."""

    def __hash__(self) -> int:
        """Return the number."""
        return self.number


class SimulationLoop(VirtualLoop):
    """A loop without threads and sockets, which collects what its callbacks and tasks raise unseen."""

    def __init__(self) -> None:
        super().__init__()
        self._ready: Any
        self._scheduled: list[Any]
        self._timer_cancelled_count: int
        self._clock_resolution: float
        self._stopping: bool
        self.running: dict[NumberedTask, None] = {}
        """The tasks that are not done, in the order of their creation."""
        self.problems: list[str] = []
        self._created = 0
        self.set_task_factory(self._create)  # type: ignore[arg-type]  # typeshed has a union of coroutines
        self.set_exception_handler(self._collect)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Let something happen next, without the checks for threads and for a closed loop."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _run_once(self) -> None:
        """Run what is ready; where nothing is, jump to the next timer first. As asyncio's own, without a selector."""
        self._collect_ready()
        ready = self._ready
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _collect_ready(self) -> None:
        """Make the callbacks ready whose timers are due; where nothing is ready, jump to the next timer first."""
        ready, timers = self._ready, self._scheduled
        while timers and timers[0].cancelled():
            heapq.heappop(timers)._scheduled = False
            self._timer_cancelled_count -= 1
        if not ready and not self._stopping:
            if not timers:
                raise Stuck
            self.skip(max(0.0, timers[0].when() - self.time()))
        end = self.time() + self._clock_resolution
        while timers and timers[0].when() < end:
            handle = heapq.heappop(timers)
            handle._scheduled = False
            ready.append(handle)

    def shut_down(self) -> None:
        """Cancel what a violation left behind, and close the loop."""
        for _ in range(3):
            for task in (left := list(self.running)):
                task.cancel()
            if not left:
                break
            try:
                self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            except (Stuck, asyncio.CancelledError):
                continue
        self.close()

    def _create(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> NumberedTask:
        task = NumberedTask.__new__(NumberedTask)
        self._created += 1
        task.number = self._created
        task.owner = OWNER.get() if context is None else context.get(OWNER)
        task.__init__(coroutine, loop=loop, name=name, context=context)  # type: ignore[misc]  # the hash is needed there
        self.running[task] = None
        task.add_done_callback(self._is_done)
        return task

    def _is_done(self, task: asyncio.Task[Any]) -> None:
        self.running.pop(task, None)  # type: ignore[call-overload]  # all tasks are numbered

    def _collect(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.problems.append(f"{context.get('message')}: {context.get('exception')!r}")


class Timeline:
    """The events of the world. They happen at their own moments, also while the process stands still."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._context = copy_context()
        """The world's, whoever causes an event."""
        self.now = loop.time()
        """The moment of the event that happens, on the loop's clock."""

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Let something happen after so many seconds."""
        self._count += 1
        when = max(self.now, self._loop.time()) + seconds
        heapq.heappush(self._events, (when, self._count, act))
        if self._timer is None or when < self._timer.when():
            self._set_timer()

    def catch_up(self) -> None:
        """Let everything happen that is due."""
        end = self._loop.time()
        while self._events and self._events[0][0] <= end:
            self.now, _, act = heapq.heappop(self._events)
            act()
        self.now = max(self.now, end)
        self._set_timer()

    @property
    def now_on_loop(self) -> float:
        """The loop's time."""
        return self._loop.time()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._events:
            self._timer = None
            return
        self._timer = self._loop.call_at(self._events[0][0], self.catch_up, context=self._context)
