"""The invariants of a finished job, compared with the sandbox's own record and not with what the worker reports."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from rolecall.engine.throttle.adaptive_concurrency import max_rows
from rolecall.models import Evidence, Outcome
from rolecall.sandbox import Call, Kind
from rolecall.sandbox.write_routes import CHANGES
from tests.campaign.scenario import SOUND, Scenario
from tests.support.truth import Judge, Pair

SYNC_MESSAGES = "chat.syncMessages"
REFUSED = 400
TOO_MANY_REQUESTS = 429


class Violation(AssertionError):  # noqa: N818 - a verdict, as an assertion is
    """An invariant does not hold."""


class Gap(NamedTuple):
    """A time in which responses can be lost: a kill (both times are the same), a pause of the worker, an outage."""

    start: float
    end: float


class History(NamedTuple):
    """What happened to a job from outside."""

    lines: Sequence[Pair]
    """The rows of the job file of the last session."""
    gaps: Sequence[Gap] = ()
    """On the sandbox's clock."""
    lost_calls: int = 0
    """The calls until the store was deleted the last time: the run that is reported does not know of them."""


def judge(scenario: Scenario, report: Sequence[dict[str, str]], history: History, *, stopped: bool) -> int:
    """Check a finished job; return the number of calls that were repeated with need. Raises Violation.

    `stopped`: the last session ended early.
    """
    _every_row_reported_once(scenario, report, history.lines)
    judge_rows(scenario, report, history.lost_calls, stopped=stopped)
    _nobody_else_changed(scenario)
    return _no_call_without_need(scenario, history)


def judge_rows(scenario: Scenario, report: Sequence[dict[str, str]], lost_calls: int = 0, *, stopped: bool) -> None:
    """Check each row of a report by itself. Raises Violation."""
    lost = lost_pairs(scenario, lost_calls)
    for row in report:
        if row["outcome"] not in ("invalid", "duplicate") and (row["roomId"], row["userId"]) not in lost:
            _reported_truly(scenario, row, stopped=stopped)


def lost_pairs(scenario: Scenario, lost_calls: int) -> set[Pair]:
    """Return the pairs that a run whose store was deleted has called."""
    calls = scenario.world.calls[:lost_calls]
    return {(call.room_id, call.user_id) for call in calls if call.route in CHANGES}


def _every_row_reported_once(scenario: Scenario, report: Sequence[dict[str, str]], lines: Sequence[Pair]) -> None:
    """Check the rows of the job file, in their order; then come pairs that only an earlier version of it has."""
    present, former = report[: len(lines)], report[len(lines) :]
    reported = [(row["line"], row["roomId"], row["userId"]) for row in present]
    expected = [(str(line), *pair) for line, pair in enumerate(lines, start=2)]
    _require(reported == expected, f"the report's rows are not the job's: {set(expected) ^ set(reported)}")
    others = [(row["roomId"], row["userId"]) for row in former]
    _require(len(set(others)) == len(others), f"a former pair is reported twice: {others}")
    _require(set(others) <= set(scenario.pairs) - set(lines), f"pairs that no job file has had: {others}")
    _require(not any(row["line"] for row in former), f"a former pair has a line: {former}")
    seen: set[Pair] = set()
    for row, pair in zip(present, lines, strict=True):
        kind = "invalid" if not pair[0] else "duplicate" if pair in seen else ""
        known = row["outcome"] if row["outcome"] in ("invalid", "duplicate") else ""
        _require(known == kind, f"line {row['line']} is reported as {row['outcome']}")
        seen.add(pair)


def _reported_truly(scenario: Scenario, row: dict[str, str], *, stopped: bool) -> None:
    pair, outcome, evidence = (row["roomId"], row["userId"]), row["outcome"], row["evidence"]
    judge_of_row = Judge(scenario.world, scenario.account_ids, reads_messages=_reads_messages(scenario, row["roomId"]))
    is_true = judge_of_row.is_true(pair, outcome, evidence)
    _require(is_true, f"{row} is false: {scenario.world.record.writes_for(*pair)} {_changing_calls(scenario, pair)}")
    match outcome:
        case Outcome.REMOVED | Outcome.NOT_LEADER | Outcome.FAILED:
            pass
        case Outcome.NOT_ATTEMPTED:
            _require(stopped, f"{row} was not attempted, although the run reached its end")
        case Outcome.UNKNOWN:
            _require(row["reason"] != "", f"{row} has no reason")
        case _:
            raise Violation(f"{row} has no outcome of ours")
    if row["reason"] == "not_needed":
        sent = [call for call in _changing_calls(scenario, pair) if not _is_limited(call)]
        _require(not sent, f"{row} was sent: {sent}")


def _reads_messages(scenario: Scenario, room: str) -> bool:
    """Return whether the messages of a room could be read: not if any such reading of this room went wrong."""
    calls = [call for call in scenario.world.calls if call.route == SYNC_MESSAGES and call.room_id == room]
    return scenario.message_evidence and bool(calls) and all(_is_sound(call) for call in calls)


def _nobody_else_changed(scenario: Scenario) -> None:
    """Check that no role was taken from a user who is not in the job."""
    taken = Judge(scenario.world, scenario.account_ids).taken() - set(scenario.pairs)
    _require(not taken, f"the role was taken from users outside the job: {taken}")


def _no_call_without_need(scenario: Scenario, history: History) -> int:
    """Check that no answered call was made again, unless the response may have been lost in a gap.

    A refusal leaves a row in doubt where an earlier response was lost, so the next session calls again. A call that
    was cut off in a gap may be in no record. No gap excuses more rows than were under way.
    """
    repeated, gaps = 0, history.gaps
    known = set(map(id, scenario.world.calls[history.lost_calls :]))
    excuses: list[tuple[Pair, list[Gap]]] = []
    for pair in scenario.pairs:
        calls = [call for call in _changing_calls(scenario, pair) if id(call) in known]
        in_doubt = False
        for first, second in pairwise(calls):
            repeated += 1
            between = [gap for gap in gaps if first.time <= gap.end and gap.start <= second.time]
            if _is_sound(first) and not (in_doubt and first.status == REFUSED):
                before = [gap for gap in reversed(gaps) if gap.start <= calls[0].time and first.status == REFUSED]
                lost_in = [*between, *before]
                _require(bool(lost_in), f"{pair} was called again although it was answered: {first} {second}")
                excuses.append((pair, lost_in))
                in_doubt = True
            in_doubt = in_doubt or not _is_sound(first)
    _check_excuses(scenario, excuses)
    return repeated


def _check_excuses(scenario: Scenario, excuses: Sequence[tuple[Pair, Sequence[Gap]]]) -> None:
    """Check that no gap must excuse more rows than were under way; a row may have several gaps to choose from."""
    excused: defaultdict[Gap, set[Pair]] = defaultdict(set)
    for pair, gaps in sorted(excuses, key=lambda excuse: len(excuse[1])):
        excused[min(gaps, key=lambda gap: len(excused[gap]))].add(pair)
    for gap, pairs in excused.items():
        _require(
            len(pairs) <= max_rows(scenario.concurrency), f"{len(pairs)} answered rows were sent again after {gap}"
        )


def _changing_calls(scenario: Scenario, pair: Pair) -> list[Call]:
    return [call for call in scenario.world.calls_for(*pair) if call.route in CHANGES]


def _is_limited(call: Call) -> bool:
    return call.status == TOO_MANY_REQUESTS or call.fault == Kind.OLD_TOO_MANY


def _is_sound(call: Call) -> bool:
    if call.fault is not None and call.fault not in SOUND:
        return False
    return call.status in (200, 400)


def judge_undo(scenario: Scenario, before: set[Pair], report: Sequence[dict[str, str]], lost_calls: int = 0) -> int:
    """Check the roles after an undo: exactly those before the run, where the evidence is more than inferred.

    Returns the number of rows that were undone. Rows that another administrator changed are not compared.
    """
    changed = {other.pair for other in scenario.others} | lost_pairs(scenario, lost_calls)
    undone = 0
    for pair, row in _settled_rows(report):
        if pair in changed or pair[0] not in scenario.world.rooms:
            continue
        leads = scenario.world.is_leader(*pair)
        _require(leads is (pair in before), f"after the undo {row} {'leads' if leads else 'does not lead'}")
        undone += row["outcome"] == Outcome.REMOVED
    return undone


def _settled_rows(report: Sequence[dict[str, str]]) -> Iterator[tuple[Pair, dict[str, str]]]:
    for row in report:
        is_settled = row["outcome"] in (Outcome.REMOVED, Outcome.NOT_LEADER, Outcome.FAILED)
        if is_settled and row["evidence"] != Evidence.INFERRED:
            yield (row["roomId"], row["userId"]), row


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)
