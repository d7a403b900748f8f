"""Rate limits over sockets and in real time: other clocks, exempt accounts, shared windows, proxies that limit.

Each case counts what the server saw.
"""

import asyncio
import math
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from rolecall.models import Outcome
from rolecall.sandbox import Limiter, Sandbox, World, leader_world
from rolecall.sandbox.world import NEWER
from tests.support.command import environment, many, rolecall, write_job
from tests.support.engine import QUICK, run_pairs
from tests.unit.rocketchat.raw_server import RawServer, Speak, answer, serving

SETTINGS = replace(QUICK, outage_timeout=60.0, concurrency=8, max_attempts=5, read_roles=False)
LIMIT = 10
CHANGE = "groups.removeLeader"


class Seen(NamedTuple):
    """What the server saw of a run."""

    calls: int
    refused: int
    seconds: float
    """From the first call to the last."""


def seen_by(world: World) -> Seen:
    """Count the changing calls."""
    calls = [call for call in world.calls if call.route == CHANGE]
    return Seen(len(calls), sum(call.status == 429 for call in calls), calls[-1].time - calls[0].time)


async def run_all(
    sandbox: Sandbox, pairs: Iterable[tuple[str, str]], path: Path, *, may_be_exempt: bool = False
) -> None:
    """Run a job and assert that each row was done."""
    ended = await run_pairs(sandbox.url, pairs, path, SETTINGS, answer_within=5.0, may_be_exempt=may_be_exempt)
    assert {result.outcome for result in ended.results} == {Outcome.REMOVED}


def limited_world(pairs: Iterable[tuple[str, str]]) -> World:
    """Return a world whose account is limited."""
    return leader_world(pairs, roles=("user",))


@pytest.mark.parametrize("ahead", [5.0, 3.0, 0.7, -3.0, -8.0, 3600.0, -3600.0])
async def test_a_proxy_that_sets_the_date_of_another_clock(tmp_path: Path, ahead: float) -> None:
    """A `Date` that is seconds or an hour wrong costs two refused calls at most, and no time after the first window."""
    pairs, length = many(40), 2.0
    world = limited_world(pairs)
    async with Sandbox(world, limiter=Limiter(LIMIT, length), date_skew=ahead) as sandbox:
        await run_all(sandbox, pairs, tmp_path / "run.sqlite")
    seen = seen_by(world)
    assert seen.refused <= 2
    assert seen.calls == 40 + seen.refused
    assert seen.seconds <= 3 * length * 1.05 + 1.0, "a second is lost in the first window"


@pytest.mark.parametrize("length", [1.0, 2.0])
async def test_a_server_clock_that_jumps_by_an_hour(tmp_path: Path, length: float) -> None:
    """Set forward in mid-run, the server's clock costs one window at most."""
    pairs, began = many(50), time.time()
    world = limited_world(pairs)

    def clock() -> float:
        now = time.time()
        return now + (3600.0 if now - began > 1.6 * length else 0.0)

    async with Sandbox(world, limiter=Limiter(LIMIT, length), clock=clock) as sandbox:
        await run_all(sandbox, pairs, tmp_path / "run.sqlite")
    seen = seen_by(world)
    assert (seen.calls, seen.refused) == (50, 0)
    assert seen.seconds - 3600.0 <= 5 * length + 1.0, "the jump ends a window early, or costs one"


@pytest.mark.parametrize("back", [1.0, 3.0, 5.0])
async def test_a_server_clock_that_is_set_back(tmp_path: Path, back: float) -> None:
    """Set back in mid-run, the server's clock costs two refused calls at most, however many are in flight."""
    pairs, began, length = many(40), time.time(), 2.0
    world = limited_world(pairs)

    def clock() -> float:
        now = time.time()
        return now - (back if now - began > 1.6 * length else 0.0)

    async with Sandbox(world, limiter=Limiter(LIMIT, length), clock=clock) as sandbox:
        await run_all(sandbox, pairs, tmp_path / "run.sqlite")
    seen = seen_by(world)
    assert seen.refused <= 2
    assert seen.seconds <= 3 * length + 2.0, "by the clock that was set back"


@pytest.mark.parametrize("is_newer", [True, False])
async def test_an_exempt_account_of_a_newer_server(tmp_path: Path, is_newer: bool) -> None:
    """The command reads the permission, probes once, and sends 300 rows without waiting for a window."""
    pairs = many(300)
    world = leader_world(pairs, roles=("bot", "admin"))
    if is_newer:
        world.version = "{}.{}.0".format(*NEWER)
    async with Sandbox(world, limiter=Limiter(LIMIT, 2.0)) as sandbox:
        job = write_job(tmp_path / "job.csv", pairs)
        words = ("run", job, "--rate", "unlimited")
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 0, ended.stderr
    seen = seen_by(world)
    assert (seen.calls, seen.refused) == (300, 0)
    assert seen.seconds <= 2.0
    assert any(call.route == "permissions.listAll" for call in world.calls) is is_newer


@pytest.mark.parametrize(("may_be_exempt", "refused"), [(True, 1), (False, 0)])
async def test_an_account_that_only_seems_exempt(tmp_path: Path, may_be_exempt: bool, refused: int) -> None:
    """Where the roles have the permission and the limit is enforced, one call is refused; without it none."""
    pairs = many(40)
    world = limited_world(pairs)
    async with Sandbox(world, limiter=Limiter(LIMIT, 1.0)) as sandbox:
        await run_all(sandbox, pairs, tmp_path / "run.sqlite", may_be_exempt=may_be_exempt)
    seen = seen_by(world)
    assert seen.refused == refused
    assert seen.seconds <= 3 * 1.05 + 1.0


@pytest.mark.parametrize(("clients", "most"), [(2, 0.15), (4, 0.30), (8, 0.47)])
async def test_clients_that_share_a_window(tmp_path: Path, clients: int, most: float) -> None:
    """Clients behind one address send one call at a time, and no window is left unused.

    In the first window each has yet to find out that there are others.
    """
    rows, length = 80, 2.0
    pairs = many(rows)
    world = limited_world(pairs)
    async with Sandbox(world, limiter=Limiter(LIMIT, length)) as sandbox:
        parts = [pairs[part::clients] for part in range(clients)]
        await asyncio.gather(*(run_all(sandbox, own, tmp_path / f"{index}.sqlite") for index, own in enumerate(parts)))
    seen = seen_by(world)
    assert seen.refused / seen.calls <= most
    assert seen.seconds <= (math.ceil(rows / LIMIT) - 1) * length * 1.1 + 2.0


class LimitReq:
    """A proxy with nginx's `limit_req rate=10r/s nodelay`."""

    def __init__(self, status: str, burst: int) -> None:
        self._status = status
        self._burst = burst
        self._excess = 0.0
        self.accepted: list[float] = []
        """When a call was accepted."""
        self.refused = 0

    async def __call__(self, seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        while await seen.hear(reader):
            now = time.monotonic()
            excess = max(0.0, self._excess - (now - self.accepted[-1]) * 10.0 + 1.0) if self.accepted else 0.0
            if excess > self._burst:
                self.refused += 1
                writer.write(answer(b"<html>nginx</html>", status=self._status))
            else:
                self._excess = excess
                self.accepted.append(now)
                writer.write(answer(b'{"success":true}'))
            await writer.drain()


@pytest.mark.parametrize("burst", [0, 5])
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Temporarily Unavailable"])
async def test_a_proxy_that_limits_without_headers(tmp_path: Path, status: str, burst: int) -> None:
    """At an own rate of 50 a second, 100 rows take 1.10 of the ideal, and none is left in doubt.

    Without a burst each call that a loaded machine sends late counts: tests on the virtual clock have the exact bound.
    """
    limiter, most = LimitReq(status, burst), 1.10 if burst else 1.40
    speak: Speak = limiter
    async with serving(speak) as server:
        settings = replace(SETTINGS, rate=50.0, retry_backoff=0.5)
        ended = await run_pairs(server.url, many(100), tmp_path / "run.sqlite", settings, answer_within=5.0)
    assert {result.outcome for result in ended.results} == {Outcome.REMOVED}
    assert len(limiter.accepted) == 100
    assert limiter.accepted[-1] - limiter.accepted[0] <= most * (99 - burst) / 10 + 1.0, "a second to find the rate"
    assert limiter.refused <= 25
