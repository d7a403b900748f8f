"""Rolecall from inside a program: `from rolecall import change_roles`.

These are the names that `rolecall` itself exports; everything below may change from one version to the next.
"""

from rolecall.api.change_roles import OperationName, RowInput, RowInputs, change_roles, undo
from rolecall.api.offboard import compare, examine, offboard
from rolecall.api.read_roles import FoundRoles, check, find, verify, write_reports
from rolecall.app.compare_runs import Comparison
from rolecall.app.doctor import Finding
from rolecall.app.errors import InvalidRunDirectoryError, OperatorError, RunStopped
from rolecall.app.find_roles import FindResult
from rolecall.app.offboard_report import OffboardResult
from rolecall.app.reports import ReportSummary
from rolecall.app.verify_run import VerifyResult
from rolecall.engine.directory.find_query import FindQuery
from rolecall.engine.directory.role_verify import VerifiedRow, VerifyStatus
from rolecall.engine.events import EventLogger
from rolecall.engine.removal_limits import RemovalLimits, RemovalThreshold
from rolecall.engine.settings import FailureThreshold, Settings
from rolecall.engine.stop_signal import StopReason
from rolecall.models import Evidence, LockedError, Outcome, Result, RoleAssignment, RolecallError, Row
from rolecall.rocketchat.connection_config import (
    AuthenticationError,
    CaFileError,
    ConnectionConfig,
    Credentials,
    InvalidUrlError,
    WorkspaceUnavailableError,
)
from rolecall.rocketchat.operations import OPERATIONS, Role
from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.run_lock import RunLockedError

__all__ = [
    "OPERATIONS",
    "AuthenticationError",
    "CaFileError",
    "Comparison",
    "ConnectionConfig",
    "Credentials",
    "EventLogger",
    "Evidence",
    "FailureThreshold",
    "FindQuery",
    "FindResult",
    "Finding",
    "FoundRoles",
    "InvalidRunDirectoryError",
    "InvalidStoreError",
    "InvalidUrlError",
    "LockedError",
    "OffboardResult",
    "OperationName",
    "OperatorError",
    "Outcome",
    "RemovalLimits",
    "RemovalThreshold",
    "ReportSummary",
    "Result",
    "Role",
    "RoleAssignment",
    "RolecallError",
    "Row",
    "RowInput",
    "RowInputs",
    "RunLockedError",
    "RunStopped",
    "Settings",
    "StopReason",
    "StoreError",
    "VerifiedRow",
    "VerifyResult",
    "VerifyStatus",
    "WorkspaceUnavailableError",
    "change_roles",
    "check",
    "compare",
    "examine",
    "find",
    "offboard",
    "undo",
    "verify",
    "write_reports",
]
