"""Rolecall from inside a program: `from worker import change_roles`.

What stands here is what `worker` itself offers; everything below may change from one version to the next.
"""

from worker.engine.events import Log
from worker.engine.failures import Threshold
from worker.engine.reasons import StopReason
from worker.engine.settings import Settings
from worker.files import UnusableFolder
from worker.ledger.interface import LedgerFailed, UnusableLedger
from worker.ledger.lock import RunHeld
from worker.library.changing import OperationName, RunStopped, change_roles
from worker.library.rows import GivenRow, GivenRows
from worker.library.workspace import Workspace
from worker.model import Outcome, Result, Row
from worker.workspace.address import BadAddress
from worker.workspace.client import BadAuthorities
from worker.workspace.operations import OPERATIONS
from worker.workspace.preflight import BadCredentials, WorkspaceAway

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
    "change_roles",
]
