"""The picture of a run: what it says in each state, at every width."""

import io
from datetime import UTC

import pytest
from rich.console import Console

from rolecall.display.progress_view import clock_time, format_duration, render_progress
from rolecall.models import OutageStatus, Outcome, Progress, RateLimitPause, RateLimitStatus

NOON = 1_772_366_400.0  # 2026-03-01, 12:00:00 UTC
ROWS = {Outcome.REMOVED: 380, Outcome.NOT_LEADER: 22, Outcome.FAILED: 18}
RUNNING = Progress(NOON, 1000, 420, ROWS, per_second=9.8, rate=10.0, in_flight=8, remaining=58.2)
TEN = RateLimitStatus(10, 60.0, 3, 42.0)


def drawn(progress: Progress, width: int = 100) -> list[str]:
    """Draw it without colours; give its lines."""
    file = io.StringIO()
    Console(file=file, width=width, highlight=False).print(render_progress(progress, width, UTC))
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("progress", "lines"),
    [
        (RUNNING, ["9.8/s of 10/s, 8 calls under way", "About 59 s left, until 12:00"]),
        (RUNNING._replace(rate=None), ["9.8/s, 8 calls under way", "About 59 s left, until 12:00"]),
        (RUNNING._replace(rate=0.5, per_second=None, remaining=None, in_flight=1), ["starting, 1 call under way"]),
        (RUNNING._replace(rate=0.5, per_second=0.4, remaining=None), ["0.4/s of 30/m, 8 calls under way"]),
        (
            RUNNING._replace(allowance=TEN, remaining=3490.0),
            [
                "7 of the 10 calls a minute that the workspace allows, 8 calls under way",
                "About 58 min left, until 12:58",
            ],
        ),
        (
            RUNNING._replace(allowance=RateLimitStatus(600, 30.0, 9, 20.0), remaining=None),
            ["9.8/s of 10/s, 8 calls under way"],
        ),
        (
            RUNNING._replace(overloaded_to=4, remaining=None),
            ["9.8/s of 10/s, 8 calls under way, at most 4, for the workspace shows overload"],
        ),
        (
            RUNNING._replace(allowance=TEN, pause=RateLimitPause(41.2, refused=False), remaining=None),
            ["Held until 12:00:41 (42 s): the workspace allows 10 calls a minute"],
        ),
        (
            RUNNING._replace(
                allowance=RateLimitStatus(5, 2.0, 0, 1.0), pause=RateLimitPause(1.0, refused=False), remaining=None
            ),
            ["Held until 12:00:01 (1 s): the workspace allows 5 calls in 2 s"],
        ),
        (
            RUNNING._replace(pause=RateLimitPause(7.0, refused=True), remaining=None),
            ["Held until 12:00:07 (7 s): the workspace said 'too many requests'"],
        ),
        (
            RUNNING._replace(outage=OutageStatus(72.0, 3.2, 828.0), remaining=None),
            ["No answer from the workspace for 72 s, next probe in 4 s, giving up in 13 min 48 s"],
        ),
        (
            RUNNING._replace(outage=OutageStatus(72.0, 0.0, 828.0), remaining=None),
            ["No answer from the workspace for 72 s, probing, giving up in 13 min 48 s"],
        ),
        (RUNNING._replace(outage=OutageStatus(72.0), remaining=None), ["No answer from the workspace for 72 s"]),
        (
            RUNNING._replace(stopping_in=7.6, in_flight=5),
            ["Stopping: 5 calls under way may take 8 s more; Ctrl-C again ends at once"],
        ),
    ],
)
def test_each_state_in_its_words(progress: Progress, lines: list[str]) -> None:
    """A run says what it does or waits for, how long, and when it ends; nothing where nothing is known."""
    first, *rest, last = drawn(progress)
    assert first.endswith("420 of 1,000 rows, 42 %")
    assert rest == lines
    assert last == "380 removed, 22 not_leader, 18 failed"


@pytest.mark.parametrize("width", [20, 40, 60, 100, 250])
@pytest.mark.parametrize("done", [0, 420, 1000])
def test_every_width_is_kept(width: int, done: int) -> None:
    """No line is wider than the terminal, and no word of the state is lost."""
    held = RUNNING._replace(done=done, allowance=TEN, pause=RateLimitPause(41.2, refused=False))
    lines = drawn(held, width)
    assert all(len(line) <= width for line in lines)
    words = " ".join(" ".join(lines).split())
    assert "Held until 12:00:41 (42 s): the workspace allows 10 calls a minute" in words
    assert f"{done:,} of 1,000 rows" in words


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_can_be_counted(outcome: Outcome) -> None:
    """No outcome is forgotten when one is added; those without rows are left out."""
    assert drawn(RUNNING._replace(outcomes={outcome: 1234}))[-1] == f"1,234 {outcome.value}"
    assert len(drawn(RUNNING._replace(outcomes={outcome: 0}))) == 3


def test_a_job_without_rows_is_no_fault() -> None:
    """Nothing of nothing is all of it."""
    assert drawn(Progress(NOON, 0, 0, {}))[0].endswith("0 of 0 rows, 100 %")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.1, "1 s"),
        (41.2, "42 s"),
        (99, "99 s"),
        (100, "1 min 40 s"),
        (828, "13 min 48 s"),
        (1541, "26 min"),
        (3600, "1 h 00 min"),
        (11_100, "3 h 05 min"),
        (100_000, "27 h 46 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    """As exact as a person needs it."""
    assert format_duration(seconds) == words


@pytest.mark.parametrize(
    ("at", "seconds", "words"),
    [(NOON + 61, True, "12:01:01"), (NOON + 61, False, "12:01"), (NOON + 86_400, False, "2026-03-02 12:00")],
)
def test_times_of_day(at: float, seconds: bool, words: str) -> None:
    """Another day is named."""
    assert clock_time(at, NOON, UTC, seconds=seconds) == words
