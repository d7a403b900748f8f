"""Why a run ends before its last row."""

import asyncio
from enum import StrEnum


class StopReason(StrEnum):
    """The words stand in the report as the `reason` of rows that were not attempted."""

    INTERRUPTED = "interrupted"
    CREDENTIALS = "credentials"
    NO_SUCH_ROUTE = "no_such_route"
    MAX_FAILURES = "max_failures"
    OUTAGE = "outage"
    LEDGER = "ledger"
    KILLED = "killed"
    """Never asked for: the ledger tells so of a session that did not end itself."""


STOP_HINTS = {
    StopReason.INTERRUPTED: "the run was interrupted; the same command goes on",
    StopReason.CREDENTIALS: "the workspace refused the credentials; make a new token, then the same command goes on",
    StopReason.NO_SUCH_ROUTE: "the workspace does not know the method; correct ROCKETCHAT_URL and run again",
    StopReason.MAX_FAILURES: "too many rows failed; look at their reasons, then the same command goes on",
    StopReason.OUTAGE: "the workspace stayed away; the same command goes on",
    StopReason.LEDGER: "the ledger could not be written (disk full?); make room, then the same command goes on",
    StopReason.KILLED: "the worker was killed; the same command goes on",
}
"""What a person can do about each."""


class Stop:
    """The wish to end the run; the first reason stands."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self.detail = ""
        self._asked = asyncio.Event()

    def ask(self, reason: StopReason, detail: str = "") -> None:
        """Ask for the end; later reasons do not replace the first."""
        if self.reason is None:
            self.reason, self.detail = reason, detail
            self._asked.set()

    async def asked(self) -> None:
        """Return once the end has been asked for."""
        await self._asked.wait()
