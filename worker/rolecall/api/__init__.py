"""Rolecall from inside a program: `from rolecall import change_roles`.

What stands here is what `worker` itself offers; everything below may change from one version to the next.
"""

from rolecall.api.change_roles import OperationName, change_roles
from rolecall.api.row_ingest import RowInput, RowInputs
from rolecall.app.errors import RunStopped
from rolecall.app.run_paths import InvalidRunDirectoryError
from rolecall.engine.events import EventLogger
from rolecall.engine.failure_threshold import FailureThreshold
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason
from rolecall.models import LockedError, Outcome, Result, RolecallError, Row
from rolecall.rocketchat.connection_config import (
    AuthenticationError,
    CaFileError,
    ConnectionConfig,
    Credentials,
    WorkspaceUnavailableError,
)
from rolecall.rocketchat.operations import OPERATIONS
from rolecall.rocketchat.url import InvalidUrlError
from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.run_lock import RunLockedError

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
    "change_roles",
]
