"""Which events are logged of a session, and how often."""

from pathlib import Path

import pytest

from rolecall.cli.exit_codes import ExitCode
from rolecall.engine.clock import Clock
from rolecall.engine.events import EngineEvents
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.engine.throttle.route_schedule import Delay, DelayReason
from rolecall.models import Outcome, RateLimitStatus, RowOutcome
from tests.unit.engine.answers import SERVER_ERROR, pending, result_of

NOON = 1_700_049_600.0


class EventList:
    """A log that keeps its events."""

    def __init__(self, lines: list[tuple[str, str, dict[str, object]]] | None = None, **bound: object) -> None:
        self.lines = [] if lines is None else lines
        self._bound = bound

    def bind(self, **values: object) -> "EventList":
        return EventList(self.lines, **self._bound, **values)

    def info(self, event: str, **values: object) -> None:
        self.lines.append(("info", event, {**self._bound, **values}))

    def warning(self, event: str, **values: object) -> None:
        self.lines.append(("warning", event, {**self._bound, **values}))


def logged(
    delays: list[Delay], now: float = 100.0, allowance: RateLimitStatus | None = None
) -> list[tuple[str, str, dict[str, object]]]:
    """Return what is logged when these delays begin."""
    log = EventList()
    events = EngineEvents(log, Clock(now=lambda: now, wall=lambda: NOON), StopSignal())
    for delay in delays:
        events.delayed(delay, allowance)
    return log.lines


def test_a_pause_is_logged_with_its_end() -> None:
    """A rate limit pause has its cause, its length and its end as people read the clock."""
    values = {"cause": "window", "seconds": 60.0, "until": "2023-11-15T12:01:00+00:00"}
    assert logged([Delay(160.0, DelayReason.WINDOW)]) == [("info", "rate limit pause", values)]


def test_a_pause_is_logged_with_its_limit() -> None:
    """Where the limit that demands the pause is known, its calls and its window are logged too."""
    ((_, _, values),) = logged([Delay(160.0, DelayReason.WINDOW)], allowance=RateLimitStatus(10, 60, 0, 60.0))
    assert (values["limit"], values["window"]) == (10, 60)


@pytest.mark.parametrize(
    ("delays", "times"),
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
def test_a_pause_is_logged_once(delays: list[Delay], times: int) -> None:
    """One line for each pause of a second or more by the server; none for the own rate or an awaited response."""
    assert len(logged(delays)) == times


def outcome_of_row_3(outcome: Outcome, reason: str = "") -> RowOutcome:
    """Make an outcome of row 3."""
    return RowOutcome(3, outcome, reason, 400, "", "words", 0, 5, in_doubt=False)


def test_only_rows_that_failed_are_logged() -> None:
    """Rows that are `failed` or `unknown` are logged with what a person needs to find them."""
    log = EventList()
    events = EngineEvents(log, Clock(now=lambda: 0.0, wall=lambda: NOON), StopSignal())
    for outcome in Outcome:
        events.row_finished(pending(3), outcome_of_row_3(outcome, "why"))
    events.row_finished(pending(3), outcome_of_row_3(Outcome.FAILED, "other"))
    row = {"line": 4, "room_id": "room", "user_id": "user3", "status": 400, "message": "words"}
    assert log.lines == [
        ("warning", "row failed", {**row, "reason": "why"}),
        ("warning", "row unknown", {**row, "reason": "why"}),
        ("warning", "row failed", {**row, "reason": "other"}),
    ]


def test_the_other_events() -> None:
    """The start and end of an outage, overload and retries are logged with their numbers."""
    log = EventList()
    events = EngineEvents(log, Clock(now=lambda: 0.0, wall=lambda: NOON), StopSignal())
    events.outage_started()
    events.outage_ended(12.345)
    events.overloaded(4)
    events.retrying(pending(3), result_of(SERVER_ERROR), 0.4567)
    events.retrying_read("/api/v1/groups.roles", result_of(SERVER_ERROR), 0.4567)
    row = {"line": 4, "room_id": "room", "user_id": "user3"}
    assert log.lines == [
        ("warning", "outage began", {}),
        ("info", "outage ended", {"seconds": 12.3}),
        ("warning", "overload", {"concurrency": 4}),
        ("info", "retrying", {**row, "reason": "server_error", "status": 500, "seconds": 0.46}),
        (
            "info",
            "retrying read",
            {"path": "/api/v1/groups.roles", "reason": "server_error", "status": 500, "seconds": 0.46},
        ),
    ]


async def test_giving_up_during_a_long_wait_is_no_outage() -> None:
    """A server that asks to wait longer than the session does is reported as such, once, with the end of the wait."""
    log, stop = EventList(), StopSignal()
    events = EngineEvents(log, Clock(now=lambda: 0.0, wall=lambda: NOON), stop)
    for seconds in (3600.0, None, 3600.0, 3599.0):
        events.record_long_wait(seconds)
    events.gave_up()
    assert stop.reason is StopReason.RETRY_LATER
    assert stop.detail.startswith("Retry-After: 3600 s, until ")
    assert [event for _, event, _ in log.lines] == ["long retry-after"] * 2


async def test_giving_up_stops_the_session() -> None:
    """When the engine gives up on the workspace, the session stops for an outage, and its end is logged so."""
    log, stop = EventList(), StopSignal()
    events = EngineEvents(log, Clock(now=lambda: 0.0, wall=lambda: NOON), stop)
    events.gave_up()
    events.session_ended(1.26, {Outcome.REMOVED: 2, Outcome.FAILED: 0}, Path("runs/a"), ExitCode.STOPPED)
    values = {"seconds": 1.3, "folder": "runs/a", "exit_code": 4, "removed": 2}
    assert stop.reason is StopReason.OUTAGE
    assert log.lines == [("warning", "run stopped", {"reason": "outage", "detail": "", **values})]
    assert type(log.lines[0][2]["exit_code"]) is int


def test_the_end_of_a_session_without_a_command_has_no_exit_code() -> None:
    """Rows that a program runs end with the folder and the counts alone."""
    log = EventList()
    EngineEvents(log, Clock(), StopSignal()).session_ended(1.26, {Outcome.REMOVED: 2}, Path("runs/a"))
    assert log.lines == [("info", "run ended", {"seconds": 1.3, "folder": "runs/a", "removed": 2})]


def test_retries_and_reasons_are_counted() -> None:
    """Progress shows how often something was repeated, and why rows failed, sent or not."""
    events = EngineEvents(EventList(), Clock(), StopSignal())
    events.retrying(pending(3), result_of(SERVER_ERROR), 0.4)
    events.retrying_read("/api/v1/groups.roles", result_of(SERVER_ERROR), 0.4)
    for outcome in (Outcome.FAILED, Outcome.REMOVED, Outcome.UNKNOWN):
        events.row_finished(pending(3), outcome_of_row_3(outcome, "why"))
    assert events.retries == 2
    assert events.reasons == {"why": 2}
