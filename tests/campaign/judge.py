"""The invariants, held against the sandbox's own record and not against what the worker says of itself."""

from collections.abc import Sequence
from itertools import pairwise

from rolecall.sandbox import Call
from tests.campaign.scenario import SOUND, Pair, Scenario

CARRIED_OUT_NOTE = "may have been carried out"


class Violation(AssertionError):  # noqa: N818 - a verdict, as an assertion is
    """An invariant does not hold."""


def judge(scenario: Scenario, report: Sequence[dict[str, str]], ends: Sequence[float], *, stopped: bool) -> int:
    """Check a finished job; give the number of calls that a crash or a lost answer made twice.

    `ends`: when a worker was ended by a signal or the workspace went away, on the sandbox's clock.
    `stopped`: the last session ended early.
    """
    _every_row_told_once(scenario, report)
    for row in report:
        if row["outcome"] not in ("invalid", "duplicate"):
            _told_truly(scenario, row, stopped=stopped)
    return _no_call_without_need(scenario, ends)


def _every_row_told_once(scenario: Scenario, report: Sequence[dict[str, str]]) -> None:
    told = [(row["line"], row["roomId"], row["userId"]) for row in report]
    asked = [(str(line), *pair) for line, pair in enumerate(scenario.lines, start=2)]
    _hold(told == asked, f"the report's rows are not the job's: {set(asked) ^ set(told)}")
    seen: set[Pair] = set()
    for row, pair in zip(report, scenario.lines, strict=True):
        kind = "invalid" if not pair[0] else "duplicate" if pair in seen else ""
        known = row["outcome"] if row["outcome"] in ("invalid", "duplicate") else ""
        _hold(known == kind, f"line {row['line']} is told {row['outcome']}")
        seen.add(pair)


def _told_truly(scenario: Scenario, row: dict[str, str], *, stopped: bool) -> None:
    room, user, outcome = row["roomId"], row["userId"], row["outcome"]
    removals = scenario.world.removals(room, user)
    has_roles = scenario.world.rooms[room].members.get(user) is not None
    # To a member without any `roles` field the server says 'removed' as often as it is asked.
    _hold(removals <= 1 or not has_roles, f"{row} was removed {removals} times")
    match outcome:
        case "removed":
            _hold(not scenario.world.is_leader(room, user), f"{row} is told removed and still leads")
        case "not_leader":
            _hold(removals == 0, f"{row} is told not_leader although we removed it")
        case "failed":
            _hold(removals == 0 or CARRIED_OUT_NOTE in row["message"], f"{row} is told failed although we removed it")
        case "not_attempted":
            _hold(stopped and removals == 0, f"{row} is told not_attempted")
        case "unknown":
            _hold(row["reason"] != "", f"{row} has no reason")
        case _:
            raise Violation(f"{row} has no outcome of ours")


def _no_call_without_need(scenario: Scenario, ends: Sequence[float]) -> int:
    """Check that no answered call was made again, unless either side ended before the answer was recorded."""
    repeated = 0
    by_end = dict.fromkeys(ends, 0)
    for pair in dict.fromkeys(scenario.lines):
        for first, second in pairwise(scenario.world.calls_for(*pair)):
            repeated += 1
            if not _is_sound(first):
                continue
            between = [end for end in ends if first.time <= end <= second.time]
            _hold(bool(between), f"{pair} was called again although it was answered: {first} {second}")
            by_end[between[0]] += 1
    for end, rows in by_end.items():
        _hold(rows <= scenario.concurrency, f"{rows} answered rows were sent again after the end at {end}")
    return repeated


def _is_sound(call: Call) -> bool:
    if call.fault is not None and call.fault not in SOUND:
        return False
    return call.status in (200, 400)


def _hold(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)
