"""What is told of a run, and how often."""

import pytest

from rolecall.engine.clock import Clock
from rolecall.engine.events import EngineEvents
from rolecall.engine.throttle.route_schedule import Delay, DelayReason
from rolecall.models import Outcome, RowOutcome
from tests.unit.engine.answers import SERVER_ERROR, pending, verdict_of

NOON = 1_700_049_600.0


class Told:
    """A log that keeps its events."""

    def __init__(self, lines: list[tuple[str, str, dict[str, object]]] | None = None, **bound: object) -> None:
        self.lines = [] if lines is None else lines
        self._bound = bound

    def bind(self, **values: object) -> "Told":
        return Told(self.lines, **self._bound, **values)

    def info(self, event: str, **values: object) -> None:
        self.lines.append(("info", event, {**self._bound, **values}))

    def warning(self, event: str, **values: object) -> None:
        self.lines.append(("warning", event, {**self._bound, **values}))


def told_of(waits: list[Delay], now: float = 100.0) -> list[tuple[str, str, dict[str, object]]]:
    """Return what is told when these waits begin."""
    log = Told()
    events = EngineEvents(log, Clock(now=lambda: now, wall=lambda: NOON))
    for wait in waits:
        events.held(wait)
    return log.lines


def test_a_hold_is_told_with_its_end() -> None:
    """A hold names its cause, its length and its end as people read the clock."""
    values = {"cause": "window", "seconds": 60.0, "until": "2023-11-15T12:01:00+00:00"}
    assert told_of([Delay(160.0, DelayReason.WINDOW)]) == [("info", "held", values)]


@pytest.mark.parametrize(
    ("waits", "times"),
    [
        ([Delay(160.0, DelayReason.WINDOW)] * 5, 1),
        ([Delay(160.0, DelayReason.WINDOW), Delay(160.9, DelayReason.WINDOW), Delay(160.5, DelayReason.REFUSED)], 1),
        ([Delay(160.0, DelayReason.WINDOW), Delay(130.0, DelayReason.WINDOW)], 1),
        ([Delay(160.0, DelayReason.WINDOW), Delay(220.0, DelayReason.WINDOW)], 2),
        ([Delay(160.0, DelayReason.REFUSED), Delay(161.5, DelayReason.REFUSED)], 2),
        ([Delay(100.9, DelayReason.WINDOW), Delay(101.0, DelayReason.WINDOW)], 1),
        ([Delay(100.9, DelayReason.REFUSED)], 0),
        ([Delay(160.0, DelayReason.RATE)], 0),
        ([Delay(float("inf"), DelayReason.ANSWER)], 0),
    ],
)
def test_a_hold_is_told_once(waits: list[Delay], times: int) -> None:
    """One line for each hold of a second or more by the server; none for the own rate or an answer awaited."""
    assert len(told_of(waits)) == times


def settled(outcome: Outcome, reason: str = "") -> RowOutcome:
    """Make an outcome of row 3."""
    return RowOutcome(3, outcome, reason, 400, "", "words", 0, 5, in_doubt=False)


def test_only_rows_that_went_wrong_are_told() -> None:
    """All rows are counted, `failed` and `unknown` ones are told with what a person needs to find them."""
    log = Told()
    events = EngineEvents(log, Clock(now=lambda: 0.0, wall=lambda: NOON))
    for outcome in Outcome:
        events.settled(pending(3), settled(outcome, "why"))
    events.settled(pending(3), settled(Outcome.FAILED, "other"))
    row = {"line": 4, "room_id": "room", "user_id": "user3", "status": 400, "message": "words"}
    assert log.lines == [
        ("warning", "row failed", {**row, "reason": "why"}),
        ("warning", "row unknown", {**row, "reason": "why"}),
        ("warning", "row failed", {**row, "reason": "other"}),
    ]
    assert events.counts == {**{(outcome, "why"): 1 for outcome in Outcome}, (Outcome.FAILED, "other"): 1}


def test_the_other_events() -> None:
    """Outage, recovery, overload and retries are told with their numbers."""
    log = Told()
    events = EngineEvents(log, Clock(now=lambda: 0.0, wall=lambda: NOON))
    events.outage()
    events.recovered(12.345)
    events.overloaded(4)
    events.retrying(pending(3), verdict_of(SERVER_ERROR), 0.4567)
    row = {"line": 4, "room_id": "room", "user_id": "user3"}
    assert log.lines == [
        ("warning", "outage began", {}),
        ("info", "outage ended", {"seconds": 12.3}),
        ("warning", "overload", {"concurrency": 4}),
        ("info", "retrying", {**row, "reason": "server_error", "status": 500, "seconds": 0.46}),
    ]
