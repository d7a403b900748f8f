"""The values that the layers pass to each other: frozen, without I/O, known to every layer."""

from rolecall.models.errors import Advice, LockedError, RolecallError
from rolecall.models.outcomes import OUTCOMES, Evidence, Outcome, OutcomeProperties, is_due
from rolecall.models.progress import OutageStatus, Progress, RateLimitPause, RateLimitStatus
from rolecall.models.replies import MAX_RESPONSE_SIZE, LookupGap, LookupResult, NoReply, Reply, RoleAssignment
from rolecall.models.rows import (
    MAX_ID_LENGTH,
    UNKNOWN_PRIOR,
    BadRow,
    DueRow,
    Json,
    Prior,
    PriorState,
    Result,
    Row,
    RowDoubt,
    RowOutcome,
    row_from_values,
)

__all__ = [
    "MAX_ID_LENGTH",
    "MAX_RESPONSE_SIZE",
    "OUTCOMES",
    "UNKNOWN_PRIOR",
    "Advice",
    "BadRow",
    "DueRow",
    "Evidence",
    "Json",
    "LockedError",
    "LookupGap",
    "LookupResult",
    "NoReply",
    "OutageStatus",
    "Outcome",
    "OutcomeProperties",
    "Prior",
    "PriorState",
    "Progress",
    "RateLimitPause",
    "RateLimitStatus",
    "Reply",
    "Result",
    "RoleAssignment",
    "RolecallError",
    "Row",
    "RowDoubt",
    "RowOutcome",
    "is_due",
    "row_from_values",
]
