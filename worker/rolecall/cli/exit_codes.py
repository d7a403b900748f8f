"""Exit codes: the contract with scripts and schedulers, and the tables that lead to them."""

from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from rolecall.app.errors import OutputError, RunStopped
from rolecall.engine.stop_signal import StopReason
from rolecall.models import LockedError, RolecallError
from rolecall.rocketchat.connection_config import AuthenticationError, WorkspaceUnavailableError
from rolecall.store.base import StoreError

if TYPE_CHECKING:  # they import libraries that usage errors do not need
    from rolecall.app.check_job import CheckResult
    from rolecall.app.find_roles import FindResult
    from rolecall.app.offboard_report import OffboardResult
    from rolecall.app.reports import ReportSummary
    from rolecall.app.run_job import RunResult
    from rolecall.app.verify_run import VerifyResult


class ExitCode(IntEnum):
    """How the command ended."""

    OK = 0
    """Every row is removed, not_leader or duplicate."""
    ROW_FAILURES = 1
    """It ended, with failed, unknown or invalid rows."""
    USAGE = 2
    """Wrong usage, or a job file, directory or URL that cannot be used; nothing was sent."""
    CREDENTIALS = 3
    """The workspace refused the credentials."""
    STOPPED = 4
    """Stopped by the failure threshold, by an outage or because the run store cannot be written."""
    LOCKED = 5
    """Another process is working on this run."""
    DRIFT = 6
    """The workspace is not as wanted: it differs from the report (verify), or there is something to do (check)."""
    INTERRUPTED = 130
    """Ctrl-C or a termination signal."""


OF_ERROR = MappingProxyType[type[Exception], ExitCode](
    {
        RolecallError: ExitCode.USAGE,
        LockedError: ExitCode.LOCKED,
        AuthenticationError: ExitCode.CREDENTIALS,
        WorkspaceUnavailableError: ExitCode.STOPPED,
        StoreError: ExitCode.STOPPED,
        OutputError: ExitCode.STOPPED,
        OSError: ExitCode.STOPPED,
    }
)
"""The exit code of each exception; the nearest base class in the table decides."""

OF_STOP = MappingProxyType[StopReason, ExitCode](
    {
        StopReason.INTERRUPTED: ExitCode.INTERRUPTED,
        StopReason.CREDENTIALS: ExitCode.CREDENTIALS,
        StopReason.NO_SUCH_ROUTE: ExitCode.STOPPED,
        StopReason.MAX_FAILURES: ExitCode.STOPPED,
        StopReason.OUTAGE: ExitCode.STOPPED,
        StopReason.RETRY_LATER: ExitCode.STOPPED,
        StopReason.STORE: ExitCode.STOPPED,
    }
)
"""The exit code of each reason to stop."""


def exit_code_of(error: RolecallError | OSError) -> ExitCode:
    """Return the exit code of an exception that ended the command."""
    if isinstance(error, RunStopped):
        return OF_STOP[error.reason]
    return next(OF_ERROR[kind] for kind in type(error).__mro__ if kind in OF_ERROR)


def exit_code_of_run(result: "RunResult") -> ExitCode:
    """Return the exit code of a run that has ended."""
    if result.report_error or not result.recorded:
        return ExitCode.STOPPED
    if result.stop is not None:
        return OF_STOP[result.stop]
    return ExitCode.OK if result.is_success else ExitCode.ROW_FAILURES


def exit_code_of_report(summary: "ReportSummary") -> ExitCode:
    """Return the exit code of reports that were written again."""
    if summary.is_unfinished:
        return ExitCode.STOPPED
    return ExitCode.ROW_FAILURES if summary.has_failures else ExitCode.OK


def exit_code_of_check(result: "CheckResult", *, as_question: bool = False) -> ExitCode:
    """Return the exit code of a check; rows without a prediction count as failures.

    `as_question`: DRIFT where a run would have something to do, or where that is not known for a row.
    """
    if result.stop is not None:
        return OF_STOP[result.stop]
    if as_question and (result.changes or result.summary.is_unfinished):
        return ExitCode.DRIFT
    predicted = not result.summary.is_unfinished and not result.summary.has_failures
    return ExitCode.OK if predicted else ExitCode.ROW_FAILURES


def exit_code_of_verification(result: "VerifyResult") -> ExitCode:
    """Return the exit code of a verification."""
    if result.stop is not None:
        return OF_STOP[result.stop]
    if result.differing or result.open:
        return ExitCode.DRIFT
    return ExitCode.ROW_FAILURES if result.listed else ExitCode.OK


def exit_code_of_find(result: "FindResult") -> ExitCode:
    """Return the exit code of a search; what could not be read counts as a failure."""
    if result.stop is not None:
        return OF_STOP[result.stop]
    return ExitCode.ROW_FAILURES if result.gaps else ExitCode.OK


def exit_code_of_offboarding(result: "OffboardResult") -> ExitCode:
    """Return the exit code of an offboarding: of its runs, of what was read back, of the people who were not found."""
    if result.report_error:
        return ExitCode.STOPPED
    if result.stop is not None:
        return OF_STOP[result.stop]
    if result.differing:
        return ExitCode.DRIFT
    return ExitCode.ROW_FAILURES if result.has_failures else ExitCode.OK
