"""How a run shows itself on stderr while it works: a picture, plain lines, JSON, or nothing."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

from structlog.typing import FilteringBoundLogger

from rolecall.cli.terminal import console
from rolecall.display.live_display import LiveDisplay, can_draw
from rolecall.display.log_setup import open_logs
from rolecall.engine.progress_tracker import ProgressTracker
from rolecall.models import Progress
from rolecall.text import rfc3339

CONSOLE, JSON = "console", "json"
"""The forms of log lines on stderr."""
PICTURE_EVERY = 0.25
"""Seconds between two pictures."""
LINE_EVERY = 10.0
"""Seconds between two plain lines."""


class OutputMode(NamedTuple):
    """How much is said on stderr, and in which form."""

    quiet: bool = False
    log_format: str = CONSOLE


@dataclass(frozen=True, slots=True)
class ProgressReporter:
    """What of a run is shown on stderr, and how."""

    file: TextIO
    screen: LiveDisplay | None
    """None where no picture is drawn."""
    log_format: str
    quiet: bool
    colors: bool

    @classmethod
    def choose(cls, voice: OutputMode, environ: Mapping[str, str]) -> "ProgressReporter":
        """Draw where stderr is a terminal that can; JSON lines are for programs, so no picture stands among them."""
        quiet, log_format = voice
        drawable = can_draw(sys.stderr, environ)
        drawing = drawable and log_format == CONSOLE and not quiet
        colors = drawable and not environ.get("NO_COLOR")
        return cls(sys.stderr, LiveDisplay(sys.stderr) if drawing else None, log_format, quiet, colors)

    def open_log(self, path: Path | None, *, hide: str) -> FilteringBoundLogger:
        """Make the run's logger; `path` and `hide` as in `open_logs`."""
        terminal = None if self.quiet else self.screen or self.file
        return open_logs(terminal, path, hide=hide, colors=self.colors, as_json=self.log_format == JSON)

    def tell(self, sentence: str, log: FilteringBoundLogger) -> None:
        """Tell a person something that they must know, quiet or not; as an event where stderr is JSON."""
        if self.log_format == JSON and not self.quiet:
            log.warning("notice", detail=sentence)
        elif self.screen is not None:
            self.screen.print_line(sentence)
        else:
            console.print_info(sentence)

    @asynccontextmanager
    async def following(self, tracker: ProgressTracker, log: FilteringBoundLogger) -> AsyncIterator[None]:
        """Show how far the run is while the block goes on; nothing of it stays on a terminal."""
        if self.quiet:
            yield
            return
        following = asyncio.create_task(self._follow(tracker, log), name="progress")
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            if self.screen is not None:
                self.screen.erase()

    async def _follow(self, tracker: ProgressTracker, log: FilteringBoundLogger) -> None:
        while True:
            if self.screen is not None:
                self.screen.draw(tracker.progress())
                await asyncio.sleep(PICTURE_EVERY)
            else:
                await asyncio.sleep(LINE_EVERY)
                log.info("progress", **fields(tracker.progress()))


def fields(progress: Progress) -> dict[str, object]:
    """Give the values of a `progress` event; those that say nothing are left out."""
    told: dict[str, object] = {"done": progress.done, "total": progress.total}
    if progress.per_second is not None:
        told["per_second"] = round(progress.per_second, 1)
    told |= {outcome.value: rows for outcome, rows in progress.outcomes.items() if rows}
    if progress.remaining is not None:
        told["remaining"] = round(progress.remaining)
    if progress.pause is not None:
        told["held_until"] = rfc3339(int((progress.at + progress.pause.seconds) * 1000))
    if progress.outage is not None:
        told["outage"] = round(progress.outage.seconds)
    return told
