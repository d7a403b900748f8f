"""Deadlines for many calls of one length: one timer looks after them all.

`asyncio.timeout` sets and drops a timer for each call, which is felt where a call costs some 60 µs.
"""

import asyncio
from types import TracebackType
from typing import Any


class Deadlines:
    """Ends what lasts longer than `seconds`; belongs to the loop that runs when it is made."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._open: dict[Deadline, None] = {}  # in the order of their ends, because all last equally long
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> "Deadline":
        """Give a context that raises TimeoutError when its body lasts too long; as `asyncio.timeout`, for one task."""
        return Deadline(self)

    def close(self) -> None:
        """Drop the timer; what is under way has no deadline any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def opened(self, deadline: "Deadline") -> float:
        """Keep a deadline that begins now; give its end on the loop's clock."""
        end = self._loop.time() + self._seconds
        self._open[deadline] = None
        if self._timer is None:
            self._timer = self._loop.call_at(end, self._look)
        return end

    def closed(self, deadline: "Deadline") -> None:
        """Forget a deadline."""
        self._open.pop(deadline, None)

    def _look(self) -> None:
        """Expire what has come to its end, and come again when the next one may."""
        now = self._loop.time()
        self._timer = None
        while self._open:
            oldest = next(iter(self._open))
            if oldest.end > now:
                self._timer = self._loop.call_at(oldest.end, self._look)
                return
            del self._open[oldest]
            oldest.expire()


class Deadline:
    """One call's deadline. A cancellation by anybody else, also in the same moment, stays a cancellation."""

    __slots__ = ("_asked_before", "_deadlines", "_expired", "_task", "end")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task that it can cancel")
        self._task: asyncio.Task[Any] = task
        self._asked_before = task.cancelling()
        self.end = self._deadlines.opened(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.closed(self)
        if not self._expired:
            return
        asked = self._task.uncancel()  # our own wish is taken back, whatever the body made of it
        if asked <= self._asked_before and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the task within the context."""
        self._expired = True
        self._task.cancel()
