"""Exit codes: the contract with scripts and schedulers, and the tables that lead to them."""

from enum import IntEnum
from types import MappingProxyType

from rolecall.app.errors import OutputError
from rolecall.engine.stop_reasons import StopReason
from rolecall.models import LockedError, RolecallError
from rolecall.rocketchat.connection_config import AuthenticationError, WorkspaceUnavailableError
from rolecall.store.base import StoreError


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
    """The workspace is no longer as the report says (verify)."""
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
        StopReason.STORE: ExitCode.STOPPED,
    }
)
"""The exit code of each reason to stop."""


def exit_code_of(error: RolecallError | OSError) -> ExitCode:
    """Return the exit code of an exception that ended the command."""
    return next(OF_ERROR[kind] for kind in type(error).__mro__ if kind in OF_ERROR)
