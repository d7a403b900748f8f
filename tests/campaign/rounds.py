"""Plays one scenario: the installed command against a sandbox, killed and resumed until the job is done."""

import asyncio
import contextlib
import signal
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

from rolecall.sandbox import ACCOUNT, FaultPlan, Sandbox
from tests.campaign.judge import judge
from tests.campaign.scenario import ANSWER_TIMEOUT, Kill, Scenario, draw
from tests.support.command import environment, read_report, start, write_job

MOST_SESSIONS = 12
FINISHED = (0, 1)


class Round(NamedTuple):
    """What one round came to."""

    rows: int
    calls: int
    ends: int
    repeated: int
    outcomes: Counter[str]

    def plus(self, other: "Round") -> "Round":
        """Add up two rounds."""
        return Round(
            self.rows + other.rows,
            self.calls + other.calls,
            self.ends + other.ends,
            self.repeated + other.repeated,
            self.outcomes + other.outcomes,
        )


async def play(seed: int, folder: Path) -> Round:
    """Play the round of a seed in an empty folder. Raises Violation."""
    scenario = draw(Random(seed))
    write_job(folder / "job.csv", scenario.lines)
    plan = FaultPlan(scenario.faults, seed=seed)
    async with Sandbox(
        scenario.world, limiter=scenario.limiter, faults=plan, latency=scenario.latency, skew=seed % 200 - 100.0
    ) as sandbox:
        ends: list[float] = []
        away = asyncio.create_task(_go_away_once(sandbox, scenario, ends))
        try:
            code = await _work_until_done(sandbox, scenario, folder, ends)
        finally:
            away.cancel()
            await asyncio.gather(away, return_exceptions=True)
    report = read_report(folder / "o")
    repeated = judge(scenario, report, ends, stopped=code not in FINISHED)
    _look_for_the_token(folder)
    outcomes = Counter(row["outcome"] for row in report)
    return Round(len(report), len(scenario.world.calls), len(ends), repeated, outcomes)


async def _work_until_done(sandbox: Sandbox, scenario: Scenario, folder: Path, ends: list[float]) -> int:
    kills = list(scenario.kills)
    code = -1
    for _ in range(MOST_SESSIONS):
        kill = kills.pop(0) if kills else None
        code = await _session(sandbox, scenario, folder, kill, ends)
        if code in FINISHED and not kills:
            break
    return code


async def _session(sandbox: Sandbox, scenario: Scenario, folder: Path, kill: Kill | None, ends: list[float]) -> int:
    words = (
        *("run", "job.csv", "--out", "o", "--rate", "unlimited", "--concurrency", scenario.concurrency),
        *("--max-attempts", 3, "--retry-backoff", 0.02, "--timeout", ANSWER_TIMEOUT - 0.5, "--connect-timeout", 0.5),
        *("--max-failures", "100%", "--outage-timeout", 3, "--shutdown-timeout", 5),
        "--room-cache" if scenario.room_cache else "--no-room-cache",
    )
    worker = await start(*map(str, words), cwd=folder, env=environment(sandbox.url))
    killer = asyncio.create_task(_kill(worker, sandbox, kill)) if kill else None
    _, stderr = await worker.communicate()
    if killer is not None:
        killer.cancel()
        await asyncio.gather(killer, return_exceptions=True)
    if kill is not None and (worker.returncode == -signal.SIGKILL or len(kill.signals) > 1):
        ends.append(time.time())  # one SIGINT or SIGTERM alone awaits every answer, and excuses nothing
    # A signal in the first milliseconds interrupts Python's own start, before any code of ours runs.
    assert b"Traceback" not in stderr or b"init_import_site" in stderr, stderr.decode()
    assert b"a defect" not in stderr, stderr.decode()
    return worker.returncode if worker.returncode is not None else -1


async def _kill(worker: asyncio.subprocess.Process, sandbox: Sandbox, kill: Kill) -> None:
    await sandbox.wait_for_calls(len(sandbox.world.calls) + kill.after_calls)
    await asyncio.sleep(kill.and_seconds)
    for number in kill.signals:
        with contextlib.suppress(ProcessLookupError):
            worker.send_signal(number)
        await asyncio.sleep(0.01)


async def _go_away_once(sandbox: Sandbox, scenario: Scenario, ends: list[float]) -> None:
    if scenario.outage_after_calls is None:
        return
    await sandbox.wait_for_calls(scenario.outage_after_calls)
    await sandbox.stop_listening()
    ends.append(time.time())
    await asyncio.sleep(scenario.outage_seconds)
    await sandbox.resume()


def _look_for_the_token(folder: Path) -> None:
    for path in (folder / "o").iterdir():
        assert ACCOUNT.token.encode() not in path.read_bytes(), f"the token stands in {path}"
