"""The settlement table: the outcome of a row from its prior state, its last response and what was read afterwards.

Pure. Written for `remove`; for `add` the same table holds with the states exchanged (see `can_change`). The last call
of a row has one of these endings: the server changed the role, it said that there was nothing to change, a reading
shows the role as wanted, the server refused, or no attempt is left.
"""

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from functools import cache
from typing import NamedTuple

from rolecall.models import Evidence, Outcome, Prior, PriorState
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.responses import RoleMessage

NOT_NEEDED = "not_needed"
REMOVED_BY_OTHER = "removed_by_other"
ADDED_BY_OTHER = "added_by_other"
CHANGED_SINCE_READ = "changed_since_read"
CONFIRMED_ON_RETRY = "confirmed_on_retry"
DIFFERS_FROM_PLAN = "differs_from_plan"
SETTLEMENT_HINTS = {
    NOT_NEEDED: "the roles were read before: there was nothing to do, so nothing was sent",
    REMOVED_BY_OTHER: "another account took the role during the run",
    ADDED_BY_OTHER: "another account gave the role during the run",
    CHANGED_SINCE_READ: "the role changed between the reading and the call, not by this run",
    DIFFERS_FROM_PLAN: "the plan would send this row, and the roles read now do not fit it: nothing was sent; "
    "'message' says what was read, check the job again",
    CONFIRMED_ON_RETRY: "the response to an earlier attempt was lost, and the server now says 'nothing to do': "
    "that attempt most probably succeeded, but the roles were not read before",
}
"""What an operator can do about each."""

MESSAGE_TOLERANCE = 2_000
"""Milliseconds by which a message may be older than the reading: two clocks of the server's own machines."""
ROLES_PROVE_FOR = 600_000
"""Milliseconds after an attempt in doubt in which the role that is gone proves that attempt."""


class Ending(Enum):
    """How the last call of a row ended."""

    DONE = auto()
    """The server said that it changed the role."""
    NOOP = auto()
    """The server said that there was nothing to change."""
    AS_WANTED = auto()
    """A reading shows the role as wanted."""
    REFUSED = auto()
    """The server refused this row for good."""
    UNCHANGED = auto()
    """No attempt is left, and a reading shows the role as it was before."""
    EXHAUSTED = auto()
    """No attempt is left, and the role could not be read."""


class Messages(Enum):
    """What the system messages since the prior reading show of the role change."""

    OURS = auto()
    """An account of this run made it last."""
    OTHERS = auto()
    """Another account made it last."""
    NONE = auto()
    """There is no such message, or messages could not be read."""
    UNSURE = auto()
    """They may be about another user, where this one was renamed; or a change was changed back, so that it depends on
    the exact time of the readings which one they saw."""


class Verdict(Enum):
    """The outcome, in terms of the operation."""

    DONE = auto()
    NOTHING_TO_DO = auto()
    FAILED = auto()
    UNKNOWN = auto()


class Case(NamedTuple):
    """What is known of a row at its end."""

    can_change: bool
    """The prior state was read, and the call could change it; False if the prior state is unknown."""
    in_doubt: bool
    """An attempt may have been carried out whose response is not known."""
    ending: Ending
    messages: Messages = Messages.NONE
    roles_prove: bool = True
    """The last attempt in doubt is recent enough for a role that is gone to prove it."""
    only_refusals: bool = False
    """Every doubtful attempt got a response with a 4xx status."""


class Settlement(NamedTuple):
    """The outcome of a row. Without a reason the row has that of its last response."""

    verdict: Verdict
    evidence: Evidence | None
    reason: str | None = ""


class SettlementRule(NamedTuple):
    """One line of the table; None matches anything."""

    can_change: bool | None
    in_doubt: bool | None
    endings: Sequence[Ending]
    messages: Messages | None
    settlement: Settlement


_GONE = (Ending.NOOP, Ending.AS_WANTED)
_NO_ATTEMPT_LEFT = (Ending.UNCHANGED, Ending.EXHAUSTED)
_OURS = Settlement(Verdict.DONE, Evidence.MESSAGE)
_OTHERS = Settlement(Verdict.NOTHING_TO_DO, Evidence.MESSAGE, REMOVED_BY_OTHER)
_REFUSAL = Settlement(Verdict.FAILED, Evidence.RESPONSE, None)
_NOT_DONE = Settlement(Verdict.FAILED, None, None)
_UNKNOWN = Settlement(Verdict.UNKNOWN, None, None)

TABLE = (
    # The prior state was read, and the call could change it.
    SettlementRule(True, None, (Ending.DONE,), None, Settlement(Verdict.DONE, Evidence.RESPONSE)),
    SettlementRule(True, None, _GONE, Messages.OURS, _OURS),
    SettlementRule(True, None, _GONE, Messages.OTHERS, _OTHERS),
    # Another account changed the role, or a proxy sent the call twice and the server failed before its message.
    SettlementRule(True, False, _GONE, None, Settlement(Verdict.NOTHING_TO_DO, Evidence.INFERRED, CHANGED_SINCE_READ)),
    SettlementRule(True, True, _GONE, Messages.UNSURE, Settlement(Verdict.DONE, Evidence.INFERRED)),
    SettlementRule(True, True, _GONE, None, Settlement(Verdict.DONE, Evidence.ROLES)),
    # The prior state is unknown. Without a doubt too: a proxy may have sent the call twice, and only the second
    # response, 'nothing to change', arrived.
    SettlementRule(False, None, (Ending.DONE,), None, Settlement(Verdict.DONE, Evidence.INFERRED)),
    SettlementRule(False, False, _GONE, None, Settlement(Verdict.NOTHING_TO_DO, Evidence.INFERRED)),
    SettlementRule(False, True, _GONE, Messages.OURS, _OURS),
    SettlementRule(False, True, _GONE, Messages.OTHERS, _OTHERS),
    SettlementRule(False, True, (Ending.NOOP,), None, Settlement(Verdict.DONE, Evidence.INFERRED, CONFIRMED_ON_RETRY)),
    # The role is as before, and a message shows that we changed it: another account has changed it back.
    SettlementRule(True, True, (Ending.UNCHANGED,), Messages.OURS, _OURS),
    # The server refused, or no attempt is left. (The server also posts a message for a member who never had the role,
    # so where the prior state is unknown a message alone does not prove that the role was there.)
    SettlementRule(True, True, (Ending.REFUSED,), Messages.OURS, _OURS),
    SettlementRule(None, True, (Ending.REFUSED, *_NO_ATTEMPT_LEFT, Ending.AS_WANTED), None, _UNKNOWN),
    SettlementRule(None, False, (Ending.REFUSED,), None, _REFUSAL),
    SettlementRule(None, False, _NO_ATTEMPT_LEFT, None, _NOT_DONE),
)
"""The first line that matches decides."""


@cache
def settle(case: Case) -> Settlement:
    """Return the settlement of a row. Two facts beside the table weaken or strengthen it."""
    rule = next(rule for rule in TABLE if _matches(rule, case))
    settlement = rule.settlement
    if settlement.evidence is Evidence.ROLES and not case.roles_prove:
        return settlement._replace(evidence=Evidence.INFERRED)
    if settlement is _UNKNOWN and case.ending is Ending.UNCHANGED and case.can_change and case.only_refusals:
        return settlement if case.messages is Messages.UNSURE else _REFUSAL
    return settlement


def _matches(rule: SettlementRule, case: Case) -> bool:
    return (
        rule.can_change in (None, case.can_change)
        and rule.in_doubt in (None, case.in_doubt)
        and case.ending in rule.endings
        and rule.messages in (None, case.messages)
    )


def reason_of(settlement: Settlement, operation: Operation, last_reason: str) -> str:
    """Return the reason of a row; `last_reason` is that of its last response."""
    if settlement.reason is None:
        return last_reason
    return ADDED_BY_OTHER if settlement.reason == REMOVED_BY_OTHER and operation.adds else settlement.reason


def outcome_of(verdict: Verdict, operation: Operation) -> Outcome:
    """Return the outcome that a verdict means for an operation."""
    if verdict is Verdict.DONE:
        return operation.done
    if verdict is Verdict.NOTHING_TO_DO:
        return operation.nothing_to_do
    return Outcome.FAILED if verdict is Verdict.FAILED else Outcome.UNKNOWN


def can_change(state: PriorState, operation: Operation) -> bool:
    """Return whether a call can change this prior state: that of a holder when removing, of a member when adding."""
    return state is (PriorState.MEMBER if operation.adds else PriorState.HAS_ROLE)


def is_as_wanted(state: PriorState, operation: Operation) -> bool:
    """Return whether a reading shows the role as the operation leaves it; a user who has left the room is no proof."""
    return state is (PriorState.HAS_ROLE if operation.adds else PriorState.MEMBER)


def ending_of_reading(state: PriorState, operation: Operation) -> Ending:
    """Return the ending of a row whose role is read after its last attempt, where its prior state could be changed."""
    if state is PriorState.UNKNOWN:
        return Ending.EXHAUSTED
    if state is PriorState.STRANGER:  # the role is gone, or was never given, whoever did it
        return Ending.REFUSED
    return Ending.AS_WANTED if is_as_wanted(state, operation) else Ending.UNCHANGED


def do_roles_prove(attempted_at: int | None, now: int) -> bool:
    """Return whether a role that is read as wanted proves an attempt in doubt; times in milliseconds."""
    return attempted_at is not None and now - attempted_at <= ROLES_PROVE_FOR


def find_change(messages: Iterable[RoleMessage], prior: Prior, operation: Operation, username: str = "") -> Messages:
    """Return who made the role change of a row, by the messages of its room.

    A later opposite change cancels a message. Where the prior state could be changed, one of ours counts all the same,
    see `has_changed_it`; else what we did is not sure. Without the user's name or the time of the prior reading no
    message counts. `username` is the user's name now, where it was read.
    """
    if prior.read_at is None or not prior.username:
        return Messages.NONE
    messages = list(messages)
    if username not in ("", prior.username):
        priors = (prior, prior._replace(username=username))
        changes = (_find_last_change([message], each, operation) for message in messages for each in priors)
        return Messages.UNSURE if any(change is not Messages.NONE for change in changes) else Messages.NONE
    change = _find_last_change(messages, prior, operation)
    if change is Messages.OURS or (can_change(prior.state, operation) and has_changed_it(messages, prior, operation)):
        return Messages.OURS
    # Ours was changed back at about the time of the prior reading, or after it where the prior state is unknown; or
    # another's was changed back, perhaps between the last reading and that of the messages.
    single = {_find_last_change([message], prior, operation) for message in messages}
    is_unsure = Messages.OURS in single or (change is Messages.NONE and Messages.OTHERS in single)
    return Messages.UNSURE if is_unsure else change


def has_changed_it(messages: Iterable[RoleMessage], prior: Prior, operation: Operation) -> bool:
    """Return whether an account of this run made the role change of a row, even if it was changed back later.

    A change back cancels it only if it may be older than the prior reading, which then saw the role after both.
    """
    if prior.read_at is None:
        return False
    until = prior.read_at + MESSAGE_TOLERANCE
    counted = [message for message in messages if message.adds is operation.adds or message.at <= until]
    return _find_last_change(counted, prior, operation) is Messages.OURS


def _find_last_change(messages: Iterable[RoleMessage], prior: Prior, operation: Operation) -> Messages:
    change = Messages.NONE
    for message in messages:
        if not prior.username or (message.username, message.role) != (prior.username, operation.role):
            continue
        if prior.read_at is None or message.at < prior.read_at - MESSAGE_TOLERANCE:
            continue
        if message.adds is not operation.adds:
            change = Messages.NONE
        elif change is not Messages.OURS:
            change = Messages.OURS if message.account_id in prior.accounts else Messages.OTHERS
    return change
