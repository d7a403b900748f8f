"""Stop signal: requests an early end of the run. The first reason wins."""

from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")


class StopReason(StrEnum):
    """Why a run ended before its last row; the report uses it as the `reason` of rows that were not attempted."""

    INTERRUPTED = "interrupted"
    CREDENTIALS = "credentials"
    NO_SUCH_ROUTE = "no_such_route"
    MAX_FAILURES = "max_failures"
    OUTAGE = "outage"
    RETRY_LATER = "retry_later"
    STORE = "store"
    KILLED = "killed"
    """Never requested: reported for a session that did not record its own end."""


_CAUSES = {
    StopReason.INTERRUPTED: "the {what} was interrupted",
    StopReason.CREDENTIALS: "the workspace refused the credentials",
    StopReason.NO_SUCH_ROUTE: "the workspace does not know the method",
    StopReason.MAX_FAILURES: "too many rows failed",
    StopReason.OUTAGE: "the workspace stayed away",
    StopReason.RETRY_LATER: "the server requests a longer wait than the outage timeout",
    StopReason.STORE: "the run store could not be written (disk full, deleted, or locked?)",
    StopReason.KILLED: "the worker was killed",
}
_REMEDIES = {
    StopReason.CREDENTIALS: "make a new token",
    StopReason.NO_SUCH_ROUTE: "correct the workspace's URL",
    StopReason.MAX_FAILURES: "look at their reasons",
    StopReason.RETRY_LATER: "wait so long",
    StopReason.STORE: "correct that",
}
"""What an operator has to do first."""


def stop_hint(reason: StopReason, what: str = "run", then: str = "the same command goes on") -> str:
    """Return why a run, a check ... ended early, what to do about it, and `then`; a sentence without its full stop."""
    steps = [step for step in (_REMEDIES.get(reason, ""), then) if step]
    return "; ".join([_CAUSES[reason].format(what=what), *([", then ".join(steps)] if steps else [])])


STOP_HINTS = {reason: stop_hint(reason) for reason in StopReason}
"""What an operator can do about each, for a run."""


class ShutdownRequested(Exception):  # noqa: N818 - control flow, not an error
    """The run was requested to stop, so this call is not made; the stop signal has the reason."""


class StopSignal:
    """Requests the run to shut down."""

    def __init__(self) -> None:
        import asyncio  # here: usage errors need only the reasons, and it is slow to import

        self.reason: StopReason | None = None
        self.detail = ""
        self._requested = asyncio.Event()

    def request(self, reason: StopReason, detail: str = "") -> None:
        """Request the shutdown; later reasons do not replace the first."""
        if self.reason is None:
            self.reason, self.detail = reason, detail
            self._requested.set()

    def request_by_word(self, word: str, detail: str = "") -> None:
        """Request the shutdown for a reason that another process has recorded; an unknown word is an interruption."""
        try:
            reason = StopReason(word)
        except ValueError:
            reason = StopReason.INTERRUPTED
        self.request(reason, detail)

    async def wait(self) -> None:
        """Return once the shutdown is requested."""
        await self._requested.wait()

    def raise_if_requested(self) -> None:
        """Raise ShutdownRequested once the shutdown is requested."""
        if self.reason is not None:
            raise ShutdownRequested


async def run_until_stopped(work: Coroutine[Any, Any, T], stop: StopSignal) -> T:
    """Await the work; raise ShutdownRequested as soon as the stop is requested, even while the work waits."""
    import asyncio

    task, requested = asyncio.ensure_future(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, requested}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ShutdownRequested
        return task.result()
    finally:
        requested.cancel()
        task.cancel()
        await asyncio.gather(requested, task, return_exceptions=True)
