"""What the reading phase costs: calls and time, by room and by user, with and without the server's limiter."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from rolecall.engine.settings import Settings
from rolecall.models import Outcome
from rolecall.sandbox import Limiter, Sandbox, World, leader_world
from rolecall.sandbox.write_routes import CHANGES
from tests.support.engine import NEVER, run_pairs

LATENCY = 0.02
"""Seconds between a request and its response."""
WINDOW = (10, 1.0)
"""Calls and seconds of the limiter: the server's default, 60 times as fast."""
UNLIMITED_ROWS, LIMITED_ROWS = 1_200, 80
CHOSEN = Settings(rate=None, concurrency=16, max_failures=NEVER)


class Shape(NamedTuple):
    """How the rows of a job are spread over rooms and users."""

    name: str
    by_user: bool
    rows_each: int
    """Rows of each room, or of each user."""
    leaders: int
    """Of each hundred rows, so many can be removed; the others are members without roles."""


SHAPES = tuple(
    Shape(f"{rows} {'row' if rows == 1 else 'rows'} a {'user' if by_user else 'room'}", by_user, rows, leaders)
    for by_user, rows in ((False, 1), (False, 40), (True, 40))
    for leaders in (100, 25)
)


def make_world(shape: Shape, rows: int, roles: tuple[str, ...]) -> tuple[World, list[tuple[str, str]]]:
    """Return a workspace and the pairs of a job of this shape."""
    pairs = [(f"each{number // shape.rows_each:04}", f"other{number:04}") for number in range(rows)]
    if shape.by_user:
        pairs = [(f"room{number:04}", user) for number, (user, _) in enumerate(pairs)]
    leads = [number % 100 < shape.leaders if shape.leaders == 100 else number % 4 == 0 for number in range(rows)]
    world = leader_world(
        [pair for pair, lead in zip(pairs, leads, strict=True) if lead],
        members=[pair for pair, lead in zip(pairs, leads, strict=True) if not lead],
        roles=roles,
    )
    world.grant("view-other-user-channels", "user")
    return world, pairs


async def _measure(shape: Shape, limited: bool, reads: bool) -> dict[str, Any]:
    """Run one job in this process, beside its sandbox."""
    rows = LIMITED_ROWS if limited else UNLIMITED_ROWS
    world, pairs = make_world(shape, rows, ("user",) if limited else ("user", "admin"))
    limiter = Limiter(*WINDOW) if limited else None
    with TemporaryDirectory(prefix="rolecall-bench-") as folder:
        async with Sandbox(world, limiter=limiter, latency=LATENCY) as sandbox:
            started = time.perf_counter()
            chosen = replace(CHOSEN, read_roles=reads)
            ended = await run_pairs(sandbox.url, pairs, Path(folder) / "ledger", chosen, answer_within=30.0)
            seconds = time.perf_counter() - started
    assert {each.outcome for each in ended.results} <= {Outcome.REMOVED, Outcome.NOT_LEADER}
    calls = Counter(call.route in CHANGES for call in world.calls)
    refused = sum(call.status == 429 for call in world.calls)
    return {"rows": rows, "reading": calls[False], "changing": calls[True], "seconds": seconds, "refused": refused}


def reading(say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure every shape, limited and not, with and without reading."""
    found = []
    for limited in (False, True):
        for shape in SHAPES:
            with_, without = (asyncio.run(_measure(shape, limited, reads)) for reads in (True, False))
            one = {"shape": shape.name, "leaders": shape.leaders, "limited": limited, "with": with_, "without": without}
            say(f"{shape.name}, {shape.leaders} % leaders, {'limited' if limited else 'not limited'}: {one}")
            found.append(one)
    return found
