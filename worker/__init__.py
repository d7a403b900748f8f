"""Rolecall: takes the leader role away in bulk from members of Rocket.Chat private groups.

For programs there is `change_roles`; docs/library.md shows it at work. The names below are imported when they are
first used, so that `import worker` costs nothing.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from worker.library import (
        OPERATIONS,
        BadAddress,
        BadAuthorities,
        BadCredentials,
        GivenRow,
        GivenRows,
        LedgerFailed,
        Log,
        OperationName,
        Outcome,
        Result,
        Row,
        RunHeld,
        RunStopped,
        Settings,
        StopReason,
        Threshold,
        UnusableFolder,
        UnusableLedger,
        Workspace,
        WorkspaceAway,
        change_roles,
    )

__all__ = [
    "OPERATIONS",
    "BadAddress",
    "BadAuthorities",
    "BadCredentials",
    "GivenRow",
    "GivenRows",
    "LedgerFailed",
    "Log",
    "OperationName",
    "Outcome",
    "Result",
    "Row",
    "RunHeld",
    "RunStopped",
    "Settings",
    "StopReason",
    "Threshold",
    "UnusableFolder",
    "UnusableLedger",
    "Workspace",
    "WorkspaceAway",
    "__version__",
    "change_roles",
]

if not TYPE_CHECKING:  # else a type checker would take every name for one of ours

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from worker import library

        return getattr(library, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
