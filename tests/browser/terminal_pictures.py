"""Draw docs/demo.svg and docs/progress.svg: the summary of a demo, and the progress of a run in three states.

Run it with `make pictures`; it needs no browser.
"""

import io
import re
import subprocess
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, Group
from rich.text import Text

from rolecall.display.progress_view import render_progress
from rolecall.models import OutageStatus, Outcome, Progress, RateLimitPause, RateLimitStatus
from tests.support.command import ROLECALL, environment

DOCS = Path(__file__).parents[2] / "docs"
DEMO_WIDTH, PROGRESS_WIDTH = 112, 92
"""Columns."""
AT = 1_772_366_547.0
"""The moment in the picture: 2026-03-01, 12:02:27 UTC."""
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace"
SVG_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code, monospace", FONTS
)
"""Rich's format with fonts of the reader's machine: it loads others from the network."""
OUTCOMES = {Outcome.REMOVED: 380, Outcome.NOT_LEADER: 22, Outcome.FAILED: 18}
SENDING = Progress(AT, 1_000, 420, OUTCOMES, per_second=9.8, rate=10.0, in_flight=8, remaining=58.2)
PAUSED = Progress(
    AT,
    300,
    40,
    {Outcome.REMOVED: 38, Outcome.NOT_LEADER: 2},
    rate=10.0,
    allowance=RateLimitStatus(10, 60.0, 0, 42.0),
    pause=RateLimitPause(42.0, refused=False),
    remaining=1_542.0,
)
OUTAGE = SENDING._replace(outage=OutageStatus(72.0, probe_in=4.0, gives_up_in=828.0), remaining=None)


def demo_summary() -> Text:
    """Run `rolecall demo` and return its summary, in colours."""
    colours = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(DEMO_WIDTH), "LANG": "C.UTF-8"}
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            [ROLECALL, "demo", "--out", "demo-run"],
            cwd=folder,
            env=environment("", **colours),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
    return Text.from_ansi(done.stdout.rstrip())


def draw(name: str, title: str, width: int, content: Text | Group) -> None:
    """Write one picture of a terminal."""
    console = Console(file=io.StringIO(), record=True, width=width, force_terminal=True, color_system="truecolor")
    console.print(content)
    svg = console.export_svg(title=title, code_format=SVG_FORMAT, unique_id=name.removesuffix(".svg"))
    (DOCS / name).write_text(svg, encoding="utf-8")


def main() -> None:
    """Draw both pictures."""
    states = [render_progress(progress, PROGRESS_WIDTH, UTC) for progress in (SENDING, PAUSED, OUTAGE)]
    draw("demo.svg", "rolecall demo", DEMO_WIDTH, demo_summary())
    draw("progress.svg", "rolecall run job.csv", PROGRESS_WIDTH, Group(states[0], "", states[1], "", states[2]))


if __name__ == "__main__":
    main()
