"""Deadlines of equal length for many calls, with one shared timer.

`asyncio.timeout` creates and cancels a timer for each call, which is a noticeable cost if a call takes about 60 µs.
"""

import asyncio
from itertools import islice
from types import TracebackType
from typing import Any

LATE = 1.0
"""Seconds of delay from which on the loop itself must have been stopped: SIGSTOP, suspend, a blocking call."""
POLL = 0.05
"""Seconds for which the loop then reads its sockets before calls fail: their responses may lie there unread."""


class Deadlines:
    """Create deadlines of `seconds`; bound to the event loop that runs at construction."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._open: dict[Deadline, None] = {}  # in the order of their ends, because all have the same length
        self._timer: asyncio.TimerHandle | None = None
        self._is_polling = False

    def begin(self) -> "Deadline":
        """Return a context manager that raises TimeoutError if its body takes too long, like `asyncio.timeout`."""
        return Deadline(self)

    def close(self) -> None:
        """Cancel the timer; calls in flight have no deadline any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def add(self, deadline: "Deadline") -> float:
        """Add a deadline that begins now; return its end on the loop's clock."""
        end = self._loop.time() + self._seconds
        self._open[deadline] = None
        if self._timer is None:
            self._timer = self._loop.call_at(end, self._expire_due)
        return end

    def remove(self, deadline: "Deadline") -> None:
        """Remove a deadline."""
        self._open.pop(deadline, None)

    def _expire_due(self) -> None:
        """Expire all deadlines that are over, and set the timer to the end of the next one."""
        now = self._loop.time()
        self._timer = None
        if not self._is_polling and any(now - deadline.end > LATE for deadline in islice(self._open, 1)):
            self._is_polling = True
            self._timer = self._loop.call_at(now + POLL, self._expire_due)
            return
        self._is_polling = False
        while self._open:
            oldest = next(iter(self._open))
            if oldest.end > now:
                self._timer = self._loop.call_at(oldest.end, self._expire_due)
                return
            del self._open[oldest]
            oldest.expire()


class Deadline:
    """Deadline of one call. Another cancellation of the task, even in the same moment, stays a cancellation."""

    __slots__ = ("_cancelling_before", "_deadlines", "_expired", "_task", "end")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task that it can cancel")
        self._task: asyncio.Task[Any] = task
        self._cancelling_before = task.cancelling()
        self.end = self._deadlines.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.remove(self)
        if not self._expired:
            return
        cancelling = self._task.uncancel()  # take back our own request, even if the body has suppressed it
        if cancelling <= self._cancelling_before and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the task that runs the body."""
        self._expired = True
        self._task.cancel()
