"""What of a run is shown on stderr, and how."""

import asyncio
import io
import json
import sys
from typing import Any

import pytest

from rolecall.app.observer import RunPreview
from rolecall.cli.terminal.console import OutputMode
from rolecall.cli.terminal.progress_reporter import LINE_INTERVAL, ProgressReporter, fields, format_question
from rolecall.engine.context import RunContext
from rolecall.engine.directory.removal_forecast import RemovalForecast
from rolecall.engine.progress import PriorProgress, ProgressTracker
from rolecall.engine.settings import Settings
from rolecall.models import OutageStatus, Outcome, Progress, RateLimitPause
from rolecall.rocketchat.operations import OPERATIONS
from tests.unit.engine.virtual import run_virtual, virtual_clock


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (Progress(0.0, 10, 3, {}), {"done": 3, "total": 10}),
        (
            Progress(0.0, 10, 3, {Outcome.REMOVED: 3, Outcome.FAILED: 0}, per_second=9.84, remaining=0.7),
            {"done": 3, "total": 10, "per_second": 9.8, "removed": 3, "remaining": 1},
        ),
        (
            Progress(1_772_366_400.0, 10, 3, {}, pause=RateLimitPause(41.2, refused=False), outage=OutageStatus(7.4)),
            {"done": 3, "total": 10, "paused_until": "2026-03-01T12:00:41.200Z", "outage": 7},
        ),
    ],
)
def test_what_a_line_of_progress_says(progress: Progress, told: dict[str, object]) -> None:
    """Numbers as a monitor reads them; what says nothing is left out."""
    assert fields(progress) == told


class Terminal(io.StringIO):
    """A terminal, as far as anybody asks."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(
    ("stderr", "log_format", "quiet", "environ", "draws"),
    [
        (Terminal(), "console", False, {"TERM": "xterm"}, True),
        (Terminal(), "console", False, {"TERM": "xterm", "NO_COLOR": "1"}, True),
        (Terminal(), "console", False, {"TERM": "dumb"}, False),
        (Terminal(), "json", False, {"TERM": "xterm"}, False),
        (Terminal(), "console", True, {"TERM": "xterm"}, False),
        (io.StringIO(), "console", False, {"TERM": "xterm"}, False),
    ],
)
def test_where_a_picture_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
    stderr: io.StringIO,
    log_format: str,
    quiet: bool,
    environ: dict[str, str],
    draws: bool,
) -> None:
    """On a terminal that can, among lines for people, and not where silence was asked for."""
    monkeypatch.setattr(sys, "stderr", stderr)
    showing = ProgressReporter(OutputMode(quiet, log_format), environ)
    assert (showing.screen is not None) is draws


def followed(showing: ProgressReporter, seconds: float) -> None:
    """Follow a run in which nothing happens for so long."""

    async def run() -> None:
        log = showing.open_log(None, hide="")
        context = RunContext.create(Settings(), log, clock=virtual_clock())
        tracker = ProgressTracker(PriorProgress.of([], 0, retry_failed=False), context, "/api/v1/groups.removeLeader")
        async with showing.progress(tracker):
            await asyncio.sleep(seconds)
            showing.print_urgent("a sentence")

    run_virtual(run())


@pytest.mark.parametrize("seconds", [5.0, 35.0, 105.0])
def test_lines_come_every_few_seconds(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal there is one line of progress after each interval, none at the start."""
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    followed(ProgressReporter(OutputMode(log_format="json"), {}), seconds)
    events: list[dict[str, Any]] = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["progress"] * int(seconds // LINE_INTERVAL) + ["notice"]
    assert events[-1]["detail"] == "a sentence"


def test_quiet_tells_sentences_only(capsys: pytest.CaptureFixture[str]) -> None:
    """No line of progress, but what a person must know."""
    followed(ProgressReporter(OutputMode(quiet=True), {}), 35.0)
    assert capsys.readouterr().err == "a sentence\n"


def test_the_question_names_a_few_rooms() -> None:
    """Rooms whose names are known are named in the question; their number is there in any case."""
    preview = RunPreview(OPERATIONS["groups.removeLeader"], "https://chat.example.org", "bulk.bot", 3, 2, None)
    assert format_question(preview) == "Remove 3 leaders in 2 groups at https://chat.example.org as bulk.bot?"
    named = format_question(preview._replace(room_names=("finance", "ops")))
    assert named == "Remove 3 leaders in 2 groups (#finance, #ops) at https://chat.example.org as bulk.bot?"


def test_the_question_calls_only_those_leaders_who_are() -> None:
    """Where not every row names a leader, the question is about rows: the figures before it say who has the role."""
    preview = RunPreview(OPERATIONS["groups.removeLeader"], "https://chat.example.org", "bulk.bot", 3, 2, None)
    some = format_question(preview._replace(forecast=RemovalForecast(holders=9, removals=2)))
    assert some.startswith("As the roles are now, it takes 2 of 9 leaders. Remove the leaders of 3 rows in 2 groups at")
    every = format_question(preview._replace(forecast=RemovalForecast(holders=9, removals=3)))
    assert every.startswith("As the roles are now, it takes 3 of 9 leaders. Remove 3 leaders in 2 groups at")
