"""The outcome of a row in doubt, from its role as it is read later; pure.

A call that was given up may still be queued and arrive: a role that is as before settles nothing until some time after
the last attempt. A role that is as wanted settles at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rolecall.engine.directory.role_reader import RoleReading
from rolecall.engine.settlement import (
    Case,
    Ending,
    Messages,
    Settlement,
    Verdict,
    can_change,
    do_roles_prove,
    find_change,
    is_as_wanted,
    outcome_of,
    reason_of,
    settle,
)
from rolecall.models import Evidence, Outcome, Prior, PriorState
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.responses import RoleMessage

CONFIRMED_BY_READING = "confirmed_by_reading"
"""Reason of a row whose response was lost and whose role, read back, is as wanted."""
ROLE_UNCHANGED = "role_unchanged"
"""Reason of a row whose response was lost and whose role, read back, is as before."""
VERIFICATION_HINTS = {
    CONFIRMED_BY_READING: "a response was lost, and the roles read later are as wanted; 'evidence' says how sure it is",
    ROLE_UNCHANGED: "a response was lost, and the roles read later are as before: run again with --retry-failed",
}
"""What an operator can do about each."""


class Doubt(NamedTuple):
    """A row in doubt."""

    prior: Prior
    attempted_at: int | None
    """When the last attempt was intended: UTC, milliseconds since the epoch."""


class LaterReading(NamedTuple):
    """What was read of a row in doubt."""

    reading: RoleReading
    messages: Sequence[RoleMessage]
    """The role changes in the room since the prior reading."""
    read_at: int
    """Our clock: UTC, milliseconds since the epoch."""


class SettledDoubt(NamedTuple):
    """The outcome of a row that was in doubt."""

    outcome: Outcome
    reason: str
    evidence: Evidence


def arrives_until(doubt: Doubt, late_arrival: float) -> int:
    """Return until when a call of the row may still arrive: UTC, milliseconds; `late_arrival` in seconds."""
    return 0 if doubt.attempted_at is None else doubt.attempted_at + round(late_arrival * 1000)


def settle_doubt(doubt: Doubt, later: LaterReading, operation: Operation) -> SettledDoubt | None:
    """Return the outcome of a row in doubt; None where what was read proves nothing.

    Not for a role that is as before while a call may still arrive, see `arrives_until`.
    """
    prior = doubt.prior._replace(username=doubt.prior.username or later.reading.prior.username)
    state, is_known = later.reading.prior.state, can_change(prior.state, operation)
    change = find_change(later.messages, prior, operation, later.reading.prior.username)
    if state is PriorState.UNKNOWN:
        return None
    if is_as_wanted(state, operation):
        return _settle_changed(doubt, later, change, operation)
    if is_known and change is Messages.OURS:
        return SettledDoubt(operation.done, "", Evidence.MESSAGE)
    if state is PriorState.STRANGER:  # the role is gone with the membership, whoever took it
        return None
    if not is_known and change in (Messages.OURS, Messages.UNSURE):
        return None  # a call was carried out: it took a role that was given back since, or there was none
    evidence = Evidence.ROLES if is_known and change is not Messages.UNSURE else Evidence.INFERRED
    return SettledDoubt(Outcome.FAILED, ROLE_UNCHANGED, evidence)


def settle_before_sending(doubt: Doubt, later: LaterReading, operation: Operation) -> SettledDoubt | None:
    """Return the outcome of a row in doubt that a run need not send again; None for one that must be sent.

    A role that is as before settles nothing, because a call may still arrive; but where a message shows that an account
    of this run changed it, the row is done, as it would be if the response had been read. Who has left the room is
    refused by the server: that settles the row.
    """
    if not can_change(doubt.prior.state, operation):
        return None
    prior = doubt.prior._replace(username=doubt.prior.username or later.reading.prior.username)
    state = later.reading.prior.state
    change = find_change(later.messages, prior, operation, later.reading.prior.username)
    if is_as_wanted(state, operation):
        proves = later.reading.is_sure and do_roles_prove(doubt.attempted_at, later.read_at)
        settlement = settle(Case(True, True, Ending.AS_WANTED, change, roles_prove=proves))
        outcome, reason = outcome_of(settlement.verdict, operation), reason_of(settlement, operation, "")
        return SettledDoubt(outcome, reason, settlement.evidence or Evidence.INFERRED)
    if can_change(state, operation) and change is Messages.OURS:
        return SettledDoubt(operation.done, "", Evidence.MESSAGE)
    return None


def _settle_changed(doubt: Doubt, later: LaterReading, change: Messages, operation: Operation) -> SettledDoubt:
    """Return the outcome of a row whose role is as wanted.

    Where the prior state is unknown, the user may never have had the role: the server posts a message for them too.
    """
    is_known = can_change(doubt.prior.state, operation)
    proves = later.reading.is_sure and do_roles_prove(doubt.attempted_at, later.read_at)
    settlement = settle(Case(is_known, True, Ending.AS_WANTED, change, roles_prove=proves))
    if not is_known and change is not Messages.OTHERS:
        settlement = Settlement(Verdict.DONE, Evidence.INFERRED)
    outcome, reason = outcome_of(settlement.verdict, operation), reason_of(settlement, operation, "")
    evidence = settlement.evidence or Evidence.INFERRED
    if outcome is operation.done and evidence is not Evidence.MESSAGE:
        reason = CONFIRMED_BY_READING
    return SettledDoubt(outcome, reason, evidence)
