"""Why a run can end before its last row, in the words of the report."""

from enum import StrEnum


class StopReason(StrEnum):
    """The words stand in the report as the `reason` of rows that were not attempted."""

    INTERRUPTED = "interrupted"
    CREDENTIALS = "credentials"
    NO_SUCH_ROUTE = "no_such_route"
    MAX_FAILURES = "max_failures"
    OUTAGE = "outage"
    STORE = "store"
    KILLED = "killed"
    """Never asked for: the ledger tells so of a session that did not end itself."""


STOP_HINTS = {
    StopReason.INTERRUPTED: "the run was interrupted; the same command goes on",
    StopReason.CREDENTIALS: "the workspace refused the credentials; make a new token, then the same command goes on",
    StopReason.NO_SUCH_ROUTE: "the workspace does not know the method; correct ROCKETCHAT_URL and run again",
    StopReason.MAX_FAILURES: "too many rows failed; look at their reasons, then the same command goes on",
    StopReason.OUTAGE: "the workspace stayed away; the same command goes on",
    StopReason.STORE: "the ledger could not be written (disk full?); make room, then the same command goes on",
    StopReason.KILLED: "the worker was killed; the same command goes on",
}
"""What a person can do about each."""
