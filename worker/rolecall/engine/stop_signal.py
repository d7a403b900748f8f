"""Stop signal: requests an early end of the run. The first reason wins."""

import asyncio
from enum import StrEnum


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


STOP_HINTS = {
    StopReason.INTERRUPTED: "the run was interrupted; the same command goes on",
    StopReason.CREDENTIALS: "the workspace refused the credentials; make a new token, then the same command goes on",
    StopReason.NO_SUCH_ROUTE: "the workspace does not know the method; correct ROCKETCHAT_URL and run again",
    StopReason.MAX_FAILURES: "too many rows failed; look at their reasons, then the same command goes on",
    StopReason.OUTAGE: "the workspace stayed away; the same command goes on",
    StopReason.RETRY_LATER: "the server asks to wait longer than --outage-timeout; after that the same command goes on",
    StopReason.STORE: "the ledger could not be written (disk full?); make room, then the same command goes on",
    StopReason.KILLED: "the worker was killed; the same command goes on",
}
"""What an operator can do about each."""


class ShutdownRequested(Exception):
    """The run was requested to stop, so this call is not made; the stop signal has the reason."""


class StopSignal:
    """Requests the run to shut down."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self.detail = ""
        self._requested = asyncio.Event()

    def request(self, reason: StopReason, detail: str = "") -> None:
        """Request the shutdown; later reasons do not replace the first."""
        if self.reason is None:
            self.reason, self.detail = reason, detail
            self._requested.set()

    async def wait(self) -> None:
        """Return once the shutdown is requested."""
        await self._requested.wait()

    def raise_if_requested(self) -> None:
        """Raise ShutdownRequested once the shutdown is requested."""
        if self.reason is not None:
            raise ShutdownRequested
