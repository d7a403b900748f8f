"""The progress view: its text in each state, at every width."""

import io
from datetime import UTC

import pytest
from rich.console import Console

from rolecall.display.progress_view import format_clock_time, render_progress
from rolecall.models import OutageStatus, Outcome, Progress, RateLimitPause, RateLimitStatus

NOON = 1_772_366_400.0  # 2026-03-01, 12:00:00 UTC
ROWS = {Outcome.REMOVED: 380, Outcome.NOT_LEADER: 22, Outcome.FAILED: 18}
RUNNING = Progress(NOON, 1000, 420, ROWS, per_second=9.8, rate=10.0, in_flight=8, remaining=58.2)
TEN = RateLimitStatus(10, 60.0, 3, 42.0)


def drawn(progress: Progress, width: int = 100) -> list[str]:
    """Return the lines of the view, without colours."""
    file = io.StringIO()
    Console(file=file, width=width, highlight=False).print(render_progress(progress, width, UTC))
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("progress", "lines"),
    [
        (RUNNING, ["9.8/s of 10/s, 8 calls in flight", "About 59 s left, until 12:00"]),
        (RUNNING._replace(rate=None), ["9.8/s, 8 calls in flight", "About 59 s left, until 12:00"]),
        (RUNNING._replace(rate=0.5, per_second=None, remaining=None, in_flight=1), ["starting, 1 call in flight"]),
        (RUNNING._replace(rate=0.5, per_second=0.4, remaining=None), ["0.4/s of 30/m, 8 calls in flight"]),
        (
            RUNNING._replace(allowance=TEN, remaining=3490.0),
            [
                "7 of the 10 calls a minute that the workspace allows, 8 calls in flight",
                "About 58 min left, until 12:58",
            ],
        ),
        (
            RUNNING._replace(allowance=RateLimitStatus(10, None, 3, 0.0), remaining=3490.0),
            [
                "7 of the 10 calls in a window that the workspace allows, 8 calls in flight",
                "At most about 58 min left, until 12:58 at the latest",
            ],
        ),
        (
            RUNNING._replace(allowance=RateLimitStatus(600, 30.0, 9, 20.0), remaining=None),
            ["9.8/s of 10/s, 8 calls in flight"],
        ),
        (
            RUNNING._replace(overloaded_to=4, remaining=None),
            ["9.8/s of 10/s, 8 calls in flight, at most 4 (overload)"],
        ),
        (
            RUNNING._replace(allowance=TEN, pause=RateLimitPause(41.2, refused=False), remaining=None),
            ["Paused until 12:00:41 (42 s): the workspace allows 10 calls a minute"],
        ),
        (
            RUNNING._replace(
                allowance=RateLimitStatus(5, 2.0, 0, 1.0), pause=RateLimitPause(1.0, refused=False), remaining=None
            ),
            ["Paused until 12:00:01 (1 s): the workspace allows 5 calls in 2 s"],
        ),
        (
            RUNNING._replace(pause=RateLimitPause(7.0, refused=True), remaining=None),
            ["Paused until 12:00:07 (7 s): the workspace said 'too many requests'"],
        ),
        (
            RUNNING._replace(outage=OutageStatus(72.0, 3.2, 828.0), remaining=None),
            ["No answer for 72 s, next probe in 4 s, giving up in 13 min 48 s"],
        ),
        (
            RUNNING._replace(outage=OutageStatus(72.0, 0.0, 828.0), remaining=None),
            ["No answer for 72 s, probing, giving up in 13 min 48 s"],
        ),
        (RUNNING._replace(outage=OutageStatus(72.0), remaining=None), ["No answer for 72 s"]),
        (
            RUNNING._replace(stopping_in=7.6, in_flight=5),
            ["Stopping: 5 calls in flight may take 8 s more; Ctrl-C again ends at once"],
        ),
    ],
)
def test_the_text_of_each_state(progress: Progress, lines: list[str]) -> None:
    """The view says what the run does or waits for, how long, and when it ends, as far as that is known."""
    first, *rest, last = drawn(progress)
    assert first.endswith("420 of 1,000 rows, 42 %")
    assert rest == lines
    assert last == "380 removed, 22 not_leader, 18 failed"


@pytest.mark.parametrize("width", [20, 40, 60, 100, 250])
@pytest.mark.parametrize("done", [0, 420, 1000])
def test_every_width_is_kept(width: int, done: int) -> None:
    """No line is wider than the terminal, and no word of the state is missing."""
    paused = RUNNING._replace(done=done, allowance=TEN, pause=RateLimitPause(41.2, refused=False))
    lines = drawn(paused, width)
    assert all(len(line) <= width for line in lines)
    words = " ".join(" ".join(lines).split())
    assert "Paused until 12:00:41 (42 s): the workspace allows 10 calls a minute" in words
    assert f"{done:,} of 1,000 rows" in words


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_can_be_counted(outcome: Outcome) -> None:
    """Every outcome can be shown; outcomes without rows are left out."""
    assert drawn(RUNNING._replace(outcomes={outcome: 1234}))[-1] == f"1,234 {outcome.value}"
    assert len(drawn(RUNNING._replace(outcomes={outcome: 0}))) == 3


def test_a_job_without_rows_is_complete() -> None:
    """A job without rows is shown as 100 % done."""
    assert drawn(Progress(NOON, 0, 0, {}))[0].endswith("0 of 0 rows, 100 %")


@pytest.mark.parametrize(
    ("at", "seconds", "words"),
    [(NOON + 61, True, "12:01:01"), (NOON + 61, False, "12:01"), (NOON + 86_400, False, "2026-03-02 12:00")],
)
def test_times_of_day(at: float, seconds: bool, words: str) -> None:
    """The date is shown for another day only."""
    assert format_clock_time(at, NOON, UTC, seconds=seconds) == words
