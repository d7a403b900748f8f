"""The outcomes of rows, and what each means for exit code, reports and later runs."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Outcome(StrEnum):
    """The outcome of one row, as every report names it. `OUTCOMES` has the properties of each."""

    REMOVED = "removed"
    ADDED = "added"
    WOULD_REMOVE = "would_remove"
    WOULD_ADD = "would_add"
    NOT_LEADER = "not_leader"
    NOT_MODERATOR = "not_moderator"
    NOT_OWNER = "not_owner"
    ALREADY_LEADER = "already_leader"
    ALREADY_MODERATOR = "already_moderator"
    ALREADY_OWNER = "already_owner"
    FAILED = "failed"
    UNKNOWN = "unknown"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    NOT_ATTEMPTED = "not_attempted"

    __hash__ = str.__hash__  # that of an enumeration is a Python function, and each row is looked up by its outcome


class OutcomeProperties(NamedTuple):
    """What an outcome means for exit code, reports and later runs."""

    style: str
    """The style in terminals, as Rich names it. The HTML report has a colour of the same name (`--bold-red`)."""
    is_success: bool = False
    """True where the row has the wanted state."""
    is_failure: bool = False
    """True where the command exits with 1."""
    is_retryable: bool = False
    """True where the row is worth another run: it stands in `retry.csv`."""
    needs_attention: bool = False
    """True where a person has to look at the row."""


_CHANGED = OutcomeProperties("green", is_success=True)

_UNCHANGED = OutcomeProperties("cyan", is_success=True)

OUTCOMES: Mapping[Outcome, OutcomeProperties] = MappingProxyType(
    {
        Outcome.REMOVED: _CHANGED,
        Outcome.ADDED: _CHANGED,
        Outcome.WOULD_REMOVE: _CHANGED,
        Outcome.WOULD_ADD: _CHANGED,
        Outcome.NOT_LEADER: _UNCHANGED,
        Outcome.NOT_MODERATOR: _UNCHANGED,
        Outcome.NOT_OWNER: _UNCHANGED,
        Outcome.ALREADY_LEADER: _UNCHANGED,
        Outcome.ALREADY_MODERATOR: _UNCHANGED,
        Outcome.ALREADY_OWNER: _UNCHANGED,
        Outcome.FAILED: OutcomeProperties("bold red", is_failure=True, is_retryable=True, needs_attention=True),
        Outcome.UNKNOWN: OutcomeProperties("bold yellow", is_failure=True, is_retryable=True, needs_attention=True),
        Outcome.INVALID: OutcomeProperties("magenta", is_failure=True, needs_attention=True),
        Outcome.DUPLICATE: OutcomeProperties("dim"),
        Outcome.NOT_ATTEMPTED: OutcomeProperties("yellow", is_retryable=True, needs_attention=True),
    }
)
"""The properties of each outcome. No other module lists outcomes, except that SQL repeats `is_due`; a test compares."""


def is_due(outcome: Outcome | None, *, retry_failed: bool) -> bool:
    """Return whether a session of the run sends a row of this outcome; None is a row without a recorded outcome.

    A failed row is sent again only with `retry_failed`.
    """
    if outcome is None:
        return True
    return OUTCOMES[outcome].is_retryable and (retry_failed or outcome is not Outcome.FAILED)


class Evidence(StrEnum):
    """What an outcome is based on; rows that were not sent have none."""

    RESPONSE = "response"
    """The server's response, with the prior state read."""
    ROLES = "roles"
    """The role was read as present before our attempt and as gone after it (or the other way round)."""
    MESSAGE = "message"
    """The system message of an account of this run, or of another account."""
    INFERRED = "inferred"
    """The prior state is unknown, or nothing better was found."""
