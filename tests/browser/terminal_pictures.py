"""Draw the terminal pictures in docs/: a real run against the sandbox, and the progress of a run in three states.

Run it with `make pictures`; it needs no browser.
"""

import asyncio
import io
import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, Group
from rich.terminal_theme import SVG_EXPORT_THEME, TerminalTheme
from rich.text import Text
from rich.theme import Theme

from rolecall.cli.commands.sandbox import TO_REHEARSE
from rolecall.display.console import COLOURS
from rolecall.display.progress_view import render_progress
from rolecall.models import OutageStatus, Outcome, Progress, RateLimitPause, RateLimitStatus
from rolecall.sandbox import Sandbox, ServerAddress, World
from rolecall.sandbox.org_world import organisation_world
from tests.support.command import ROLECALL, environment
from tests.support.terminal import terminal

DOCS = Path(__file__).parents[2] / "docs"
PORT = 3000
"""The port of `rolecall sandbox`, so that the URL in the pictures stays the same."""
LEAVERS = ("finance.lead", "sales.lead", "legal.lead")
WIDTHS = (80, 120)
"""Columns of the pictures of a run."""
PROGRESS_WIDTH = 80
AT = 1_772_366_547.0
"""The moment in the picture of the progress: 2026-03-01, 12:02:27 UTC."""
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace"
SVG_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code, monospace", FONTS
)
"""Rich's format with fonts of the reader's machine: it loads others from the network."""
ANSI = [(0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229)]
THEMES = {"dark": SVG_EXPORT_THEME, "light": TerminalTheme((255, 255, 255), (30, 34, 42), ANSI)}
OUTCOMES = {Outcome.REMOVED: 380, Outcome.NOT_LEADER: 22, Outcome.FAILED: 18}
REASONS = {"room_not_joined": 11, "room_archived": 5, "user_not_found": 2}
SENDING = Progress(
    AT, 1_000, 420, OUTCOMES, per_second=9.8, rate=10.0, in_flight=8, remaining=58.2, reasons=REASONS, retries=3
)
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
_STEP = re.compile(r"(\x1b\[2K)|(\x1b\[1A)|(\r)|(\n)|([^\x1b\r\n]+|\x1b\[[\d;]*m)")


def shown(written: str) -> list[str]:
    """Return the lines that stand on a terminal, with their colours; a line is only written anew once it is erased."""
    lines, row = [""], 0
    for erase, up, _, down, text in _STEP.findall(written):
        if erase:
            lines[row] = ""
        elif up:
            row -= 1
        elif down:
            row += 1
            lines.extend([""] * (row + 1 - len(lines)))
        else:
            lines[row] += text
    return lines


def rows(world: World) -> Iterator[tuple[str, str]]:
    """Return the names of the rooms that some people lead, with these people, and of one who leads nothing."""
    for room_id, user_id in world.pairs_with_role("leader"):
        if world.rooms[room_id].type == "p" and world.users[user_id].username in LEAVERS:
            yield f"#{world.rooms[room_id].name}", f"@{world.users[user_id].username}"
    yield "#finance-planning", "@finance.analyst"


async def real_run(columns: int) -> list[str]:
    """Run the installed command on a terminal, answer its question, and return what is left on it."""
    world, written = organisation_world(roles=("user", "bot")).world, b""
    for permission in TO_REHEARSE:
        world.grant(permission, "user")
    with TemporaryDirectory() as folder, terminal(columns) as (ours, theirs):
        lines = ["room,user", *(f"{room},{user}" for room, user in rows(world))]
        (Path(folder) / "leavers.csv").write_text("\n".join(lines))
        address = ServerAddress(port=PORT)
        async with Sandbox(world, latency=0.02, address=address) as sandbox:
            settings = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "ROLECALL_YES": "0", "COLORTERM": "truecolor"}
            process = await asyncio.create_subprocess_exec(
                "/usr/bin/setsid",
                *("--ctty", "--wait", str(ROLECALL), "run", "leavers.csv"),
                cwd=folder,
                env=environment(sandbox.url, **settings),
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
            )
            os.close(theirs)
            answered = False
            while chunk := await asyncio.to_thread(_read, ours):
                written += chunk
                if not answered and b"[y/N]" in written:
                    os.write(ours, b"y\n")
                    answered = True
            await process.wait()
    return ["$ rolecall run leavers.csv", *shown(written.decode().rstrip())]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def draw(name: str, title: str, width: int, content: Iterable[Text | Group], theme: TerminalTheme) -> None:
    """Write one picture of a terminal."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=width,
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
        theme=Theme(COLOURS),
    )
    for part in content:
        console.print(part)
    console.print()  # without it the underscores of the last line are cut off
    svg = console.export_svg(title=title, code_format=SVG_FORMAT, unique_id=name.removesuffix(".svg"), theme=theme)
    if theme is THEMES["light"]:
        svg = svg.replace("rgba(255,255,255,0.35)", "rgba(0,0,0,0.3)")  # the frame of the window
    (DOCS / name).write_text(svg, encoding="utf-8")


def main() -> None:
    """Draw every picture, in light and dark."""
    states = [render_progress(progress, PROGRESS_WIDTH, UTC) for progress in (SENDING, PAUSED, OUTAGE)]
    runs = {columns: [Text.from_ansi(line) for line in asyncio.run(real_run(columns))] for columns in WIDTHS}
    for scheme, theme in THEMES.items():
        progress = Group(states[0], "", states[1], "", states[2])
        draw(f"progress-{scheme}.svg", "rolecall run job.csv", PROGRESS_WIDTH, [progress], theme)
        for columns, lines in runs.items():
            draw(f"run-{columns}-{scheme}.svg", "rolecall run leavers.csv", columns, lines, theme)


if __name__ == "__main__":
    main()
