"""Every reason that a report can name: where it comes from, the outcomes that it goes with, and what to do about it."""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from rolecall.engine.directory.doubt_settlement import CONFIRMED_BY_READING, ROLE_UNCHANGED, VERIFICATION_HINTS
from rolecall.engine.directory.find_query import GAP_HINTS
from rolecall.engine.directory.name_lookup import NAME_HINTS
from rolecall.engine.directory.role_reader import MEMBERSHIP_NOT_SEEN, READING_HINTS, ROLES_UNREADABLE
from rolecall.engine.settlement import (
    ADDED_BY_OTHER,
    CHANGED_SINCE_READ,
    CONFIRMED_ON_RETRY,
    DIFFERS_FROM_PLAN,
    NOT_NEEDED,
    REMOVED_BY_OTHER,
    SETTLEMENT_HINTS,
)
from rolecall.engine.stop_signal import STOP_HINTS
from rolecall.files.input.ids import BAD_ROW_REASONS
from rolecall.models import Outcome
from rolecall.rocketchat.error_table import RULES, Action, ErrorScope
from rolecall.store.records import KILLED_IN_FLIGHT


class ReasonSource(StrEnum):
    """Where a reason comes from; the value is its heading in the reference."""

    RESPONSE = "From the server's responses"
    STOP = "Why a run ended (rows `not_attempted`)"
    ROW = "Rows without an outcome of their own"
    READING = "From the roles that were read"
    FILE = "Rows that cannot be used (`invalid`)"
    LOOKUP = "What could not be seen"


class Reason(NamedTuple):
    """One reason."""

    reason: str
    source: ReasonSource
    outcome: str
    """The outcomes that it goes with, in words."""
    hint: str
    """What an operator can do, without a full stop."""


_NOTHING_DONE = "not_leader or its equivalent"
_CHANGED = "removed or added"
_OF_READING = {
    MEMBERSHIP_NOT_SEEN: f"{_NOTHING_DONE}; also predicted",
    ROLES_UNREADABLE: "predicted: not_attempted",
    NOT_NEEDED: _NOTHING_DONE,
    DIFFERS_FROM_PLAN: f"{_NOTHING_DONE}, failed",
    CHANGED_SINCE_READ: _NOTHING_DONE,
    REMOVED_BY_OTHER: _NOTHING_DONE,
    ADDED_BY_OTHER: "already_leader or its equivalent",
    CONFIRMED_ON_RETRY: f"{_CHANGED}, inferred",
    CONFIRMED_BY_READING: _CHANGED,
    ROLE_UNCHANGED: "failed",
}


def _reasons() -> Iterator[Reason]:
    for reason, rule in RULES.items():
        yield Reason(reason, ReasonSource.RESPONSE, _outcome(rule.action, rule.scope, rule.outcome), rule.hint)
    for stop, hint in STOP_HINTS.items():
        yield Reason(stop.value, ReasonSource.STOP, Outcome.NOT_ATTEMPTED, hint)
    killed = "the worker was killed while the call was in flight; the same command settles it"
    yield Reason(KILLED_IN_FLIGHT, ReasonSource.ROW, Outcome.UNKNOWN, killed)
    twice = "the pair stands in the job file more than once; 'message' names the first line"
    yield Reason("duplicate_of", ReasonSource.ROW, Outcome.DUPLICATE, twice)
    for reason, hint in (READING_HINTS | VERIFICATION_HINTS | SETTLEMENT_HINTS).items():
        yield Reason(reason, ReasonSource.READING, _OF_READING[reason], hint)
    for reason, hint in NAME_HINTS.items():
        yield Reason(reason, ReasonSource.FILE, Outcome.INVALID, hint)
    for reason, sentence in BAD_ROW_REASONS.items():
        yield Reason(reason, ReasonSource.FILE, Outcome.INVALID, sentence[0].lower() + sentence[1:].rstrip("."))


def _outcome(action: Action, scope: ErrorScope, outcome: Outcome) -> str:
    if action is Action.BACK_OFF:
        return "none: all rows wait"
    if action is Action.STOP:
        return f"{outcome}; the run stops"
    if action is Action.RETRY:
        return f"{outcome}, after the last attempt"
    return f"{outcome}, also for the room's other rows" if scope is ErrorScope.ROOM else outcome


REASONS = {each.reason: each for each in _reasons()}
"""The reasons of rows, by name."""
REASON_HINTS = {reason: each.hint for reason, each in REASONS.items()}
LOOKUP_REASONS = {
    reason: Reason(reason, ReasonSource.LOOKUP, "none: rows may be missing", hint) for reason, hint in GAP_HINTS.items()
}
"""The reasons why a lookup is incomplete, by name; some have the name of a reason of rows."""


def find_reasons(name: str) -> list[Reason]:
    """Return the reasons of this name: none, one, or one of rows and one of lookups."""
    return [table[name] for table in (REASONS, LOOKUP_REASONS) if name in table]
