"""Rolecall: takes the leader role away in bulk from members of Rocket.Chat private groups.

For programs there are `change_roles` and its siblings; docs/library.md shows them. The names below are imported when
they are first used, so that `import rolecall` costs nothing.
"""

from rolecall.version import __version__

TYPE_CHECKING = False  # as in typing, which takes time to import

if TYPE_CHECKING:
    from rolecall.api import (
        OPERATIONS,
        AuthenticationError,
        CaFileError,
        Comparison,
        ConnectionConfig,
        Credentials,
        EventLogger,
        Evidence,
        FailureThreshold,
        Finding,
        FindQuery,
        FindResult,
        FoundRoles,
        InvalidRunDirectoryError,
        InvalidStoreError,
        InvalidUrlError,
        LockedError,
        OffboardResult,
        OperationName,
        OperatorError,
        Outcome,
        RemovalLimits,
        RemovalThreshold,
        ReportSummary,
        Result,
        Role,
        RoleAssignment,
        RolecallError,
        Row,
        RowInput,
        RowInputs,
        RunLockedError,
        RunStopped,
        Settings,
        StopReason,
        StoreError,
        VerifiedRow,
        VerifyResult,
        VerifyStatus,
        WorkspaceUnavailableError,
        change_roles,
        check,
        compare,
        examine,
        find,
        offboard,
        undo,
        verify,
        write_reports,
    )

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
    "__version__",
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

if not TYPE_CHECKING:  # otherwise a type checker would accept every name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from rolecall import api

        return getattr(api, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
