"""Several workers on one database: the own rate that they share, windows of their own, and what waiting costs."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple

from rolecall.engine.settings import Settings
from rolecall.sandbox import Limiter, Sandbox, leader_world
from tests.bench.pacing import most_in_a_second
from tests.support.cluster import NEVER, Cluster, open_cluster
from tests.support.postgres import PostgresServer, wheel_binaries

Say = Callable[[str], None]


class SharedRate(NamedTuple):
    """A rate, and the workers that share it."""

    workers: int
    rate: float
    seconds: float


RATES = (
    SharedRate(1, 10.0, 60), SharedRate(2, 10.0, 60), SharedRate(4, 10.0, 60), SharedRate(4, 50.0, 40),
    SharedRate(2, 200.0, 30), SharedRate(4, 200.0, 30),
)  # fmt: skip
ANSWER = 0.02
"""Seconds that the workspace takes for an answer."""
WORKSPACES, IDLE_SECONDS = 50, 30.0


def workers(say: Say) -> dict[str, Any]:
    """Measure everything on a database of its own, which waits for the disk."""
    server = PostgresServer(wheel_binaries(), {})
    try:
        return asyncio.run(_measure(server, say))
    finally:
        server.stop()


async def _measure(server: PostgresServer, say: Say) -> dict[str, Any]:
    rates = [await _rate(server, shared, say) for shared in RATES]
    return {"rates": rates, "window": await _window(server, say), "idle": await _idle(server, say)}


async def _rate(server: PostgresServer, shared: SharedRate, say: Say) -> dict[str, float]:
    rows = int(shared.rate * shared.seconds)
    pairs = [(f"room{number // 25}", f"user{number}") for number in range(rows)]
    world = leader_world(pairs)
    async with Sandbox(world, latency=ANSWER) as sandbox, _new_cluster(server, sandbox.url) as cluster:
        settings = Settings(rate=shared.rate, max_failures=NEVER)
        run = await cluster.create_run(pairs, settings, shard_rows=max(20, rows // (8 * shared.workers)))
        await asyncio.gather(*(cluster.start_worker(f"egress-{number}") for number in range(shared.workers)))
        await cluster.wait_until_ended(run, 2 * shared.seconds + 60)
    times = sorted(call.time for call in world.calls if call.route == "groups.removeLeader")
    middle = times[len(times) // 10 : len(times) * 9 // 10]
    found = {
        **shared._asdict(),
        "achieved": (len(middle) - 1) / (middle[-1] - middle[0]),
        "worst_second": most_in_a_second(times),
    }
    say(
        f"{shared.rate:g}/s, {shared.workers} workers: {found['achieved']:.2f}/s, "
        f"{found['worst_second']:.0f} calls in the worst second"
    )
    return found


async def _window(server: PostgresServer, say: Say) -> dict[str, float]:
    """Measure two workers behind two addresses, each with a window of its own."""
    rows, limit = 800, 20
    pairs = [(f"room{number // 25}", f"user{number}") for number in range(rows)]
    world = leader_world(pairs, roles=("user",))
    async with (
        Sandbox(world, latency=ANSWER, limiter=Limiter(limit, 1.0)) as sandbox,
        _new_cluster(server, sandbox.url) as cluster,
    ):
        run = await cluster.create_run(pairs, shard_rows=50)
        await asyncio.gather(
            *(cluster.start_worker(f"egress-{number}", address=f"127.0.0.{number}") for number in (2, 3))
        )
        await cluster.wait_until_ended(run, 200)
    times = [call.time for call in world.calls if call.route == "groups.removeLeader"]
    refused = sum(call.status == 429 for call in world.calls)
    found = {"rows": rows, "took": max(times) - min(times), "ideal": rows / limit / 2, "refused": refused}
    say(f"two addresses, {limit} calls a second each: {found['took']:.1f} s of {found['ideal']:.1f}, {refused} refused")
    return found


async def _idle(server: PostgresServer, say: Say) -> dict[str, float]:
    """Measure a worker with many workspaces and nothing to do."""
    async with _new_cluster(server, "http://127.0.0.1:9") as cluster:
        lines = (
            f'[workspaces.w{number}]\nurl = "http://127.0.0.1:{9000 + number}"\nuser_id = "x"\ntoken_env = "TEST_TOKEN"'
            for number in range(WORKSPACES)
        )
        file = cluster.workspaces_file()
        file.write_text("\n".join(lines))
        worker = await cluster.start_worker("egress")
        await worker.wait_for_line("worker started")
        await asyncio.sleep(3)
        before = _processor_seconds(worker.process.pid)
        started = time.monotonic()
        await asyncio.sleep(IDLE_SECONDS)
        share = (_processor_seconds(worker.process.pid) - before) / (time.monotonic() - started)
        ((connections,),) = await cluster.query(
            "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()"
        )
    say(f"{WORKSPACES} idle workspaces: {share:.2%} of a core, {connections} connections")
    return {"workspaces": WORKSPACES, "share": share, "connections": int(str(connections))}


def _processor_seconds(process: int) -> float:
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _new_cluster(server: PostgresServer, url: str) -> AbstractAsyncContextManager[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="rolecall-bench-"))
    return open_cluster(server.initialised_database(), url, folder)


def table(found: Any) -> str:
    """Make the tables, as Markdown."""
    lines = ["| own rate | workers | reached | worst second |", "| ---: | ---: | ---: | ---: |"]
    lines += [
        f"| {each['rate']:g}/s | {each['workers']} | {each['achieved']:.2f}/s | {each['worst_second']:.0f} |"
        for each in found["rates"]
    ]
    window, idle = found["window"], found["idle"]
    limits = (
        f"Two workers behind two addresses, each with a window of 20 calls a second: {window['rows']:,} rows in "
        f"{window['took']:.1f} s (ideal: {window['ideal']:.1f} s), {window['refused']} calls refused."
    )
    waiting = (
        f"A worker with {idle['workspaces']} idle workspaces: {idle['share']:.1%} of a core, "
        f"{idle['connections']} connections to the database."
    )
    return "\n".join([*lines, "", limits, waiting])
