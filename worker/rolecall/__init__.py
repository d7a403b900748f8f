"""Rolecall: takes the leader role away in bulk from members of Rocket.Chat private groups.

For programs there is `change_roles`; docs/library.md shows it at work. The names below are imported when they are
first used, so that `import rolecall` costs nothing.
"""

from typing import TYPE_CHECKING

from rolecall.version import __version__

if TYPE_CHECKING:
    from rolecall.api import (
        OPERATIONS,
        AuthenticationError,
        CaFileError,
        ConnectionConfig,
        Credentials,
        EventLogger,
        FailureThreshold,
        InvalidRunDirectoryError,
        InvalidStoreError,
        InvalidUrlError,
        LockedError,
        OperationName,
        Outcome,
        Result,
        RolecallError,
        Row,
        RowInput,
        RowInputs,
        RunLockedError,
        RunStopped,
        Settings,
        StopReason,
        StoreError,
        WorkspaceUnavailableError,
        change_roles,
    )

__all__ = [
    "OPERATIONS",
    "AuthenticationError",
    "CaFileError",
    "ConnectionConfig",
    "Credentials",
    "EventLogger",
    "FailureThreshold",
    "InvalidRunDirectoryError",
    "InvalidStoreError",
    "InvalidUrlError",
    "LockedError",
    "OperationName",
    "Outcome",
    "Result",
    "RolecallError",
    "Row",
    "RowInput",
    "RowInputs",
    "RunLockedError",
    "RunStopped",
    "Settings",
    "StopReason",
    "StoreError",
    "WorkspaceUnavailableError",
    "__version__",
    "change_roles",
]

if not TYPE_CHECKING:  # else a type checker would take every name for one of ours

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from rolecall import api

        return getattr(api, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
