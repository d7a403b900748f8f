"""Rolecall from inside a program: `from rolecall import change_roles`.

What stands here is what `worker` itself offers; everything below may change from one version to the next.
"""

from rolecall.api.change_roles import OperationName, RunStopped, change_roles
from rolecall.api.row_ingest import RowInput, RowInputs
from rolecall.api.workspace import Workspace
from rolecall.app.out_folder import InvalidRunDirectoryError
from rolecall.engine.events import EventLogger
from rolecall.engine.failure_threshold import FailureThreshold
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason
from rolecall.models import Outcome, Result, Row
from rolecall.rocketchat.client import CaFileError
from rolecall.rocketchat.operations import OPERATIONS
from rolecall.rocketchat.preflight import AuthenticationError, WorkspaceUnavailableError
from rolecall.rocketchat.url import InvalidUrlError
from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.run_lock import RunLockedError

__all__ = [
    "OPERATIONS",
    "AuthenticationError",
    "CaFileError",
    "EventLogger",
    "FailureThreshold",
    "InvalidRunDirectoryError",
    "InvalidStoreError",
    "InvalidUrlError",
    "OperationName",
    "Outcome",
    "Result",
    "Row",
    "RowInput",
    "RowInputs",
    "RunLockedError",
    "RunStopped",
    "Settings",
    "StopReason",
    "StoreError",
    "Workspace",
    "WorkspaceUnavailableError",
    "change_roles",
]
