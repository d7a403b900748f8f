"""Plays one round in virtual time until its job is done, with the real client, server and files; then judges it."""

import asyncio
import hashlib
import signal
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast
from unittest import mock

from rolecall.app.connection import AppContext
from rolecall.app.run_job import RunRequest, RunResult, run_job
from rolecall.app.undo_run import undo_run
from rolecall.cli.exit_codes import ExitCode, exit_code_of, exit_code_of_run
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.files.input.job import open_job
from rolecall.models import Evidence, Outcome, RolecallError
from rolecall.rocketchat import client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.sandbox import ACCOUNT, Account, FaultPlan, Kind, Sandbox, ServerAddress
from tests.campaign import rounds
from tests.campaign.judge import Gap, judge, judge_undo
from tests.campaign.scenario import ANSWER_TIMEOUT, Harm, Interruption, Scenario, draw
from tests.simulation.product.power_cut import read_files, replace_folder, torn_files
from tests.simulation.product.simloom_adapter import Process, World, has_unread_bytes, simulate
from tests.support.command import read_report, write_job
from tests.support.engine import NEVER
from tests.support.truth import Pair

PORT = 3000
MEMORY = Path("/dev/shm")
"""Where the files are: each commit waits for a disk, and that wait shows nothing here."""
STILL_UNDER_WAY = 0.5
"""Seconds in which a request arrives, at most, that left before its process ended."""
SLOW_TO_SIMULATE = (Kind.HUGE, Kind.BOMB)
"""Faults of many megabytes, which the campaign of real processes has."""
SETTINGS = Settings(
    rate=None,
    max_attempts=3,
    retry_backoff=0.02,
    max_failures=NEVER,
    outage_timeout=3.0,
    shutdown_timeout=5.0,
)


class Played(NamedTuple):
    """One round that was played."""

    seed: int
    error: BaseException | None
    """What went wrong: a Violation of a rule of the judge, or any other exception."""
    rows: int
    calls: int
    sessions: int
    power_cuts: int
    torn_commits: int
    """How many of the power cuts came during a commit and left another part of it than nothing."""
    resets: int
    """How often the connections of the worker were broken."""
    outcomes: Counter[str]
    """Rows by outcome and evidence."""
    digest: str
    """A hash of every step of the loop with its time, of all calls, and of the report; empty where not requested."""


def play(seed: int, *, with_digest: bool = False) -> Played:
    """Play the round of a seed."""
    scenario = _with_quick_faults(draw(Random(seed)))
    with TemporaryDirectory(prefix="rolecall-simulation-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        product = ProductPlay(
            scenario, SimulatedSandbox(scenario, seed), Path(folder), random=Random(f"{seed} product")
        )
        with mock.patch.object(client, "_is_readable", has_unread_bytes):  # the socket is no file here
            simulated = simulate(seed, product.play)
    parts = (simulated.events(), repr(scenario.world.calls), repr(product.report)) if with_digest else ()
    return Played(
        seed,
        simulated.error,
        len(product.report),
        len(scenario.world.calls),
        product.sessions,
        product.kills,
        product.torn_commits,
        product.resets,
        Counter(f"{row['outcome']} {row['evidence']}".strip() for row in product.report),
        hashlib.sha256("\0".join(parts).encode()).hexdigest() if parts else "",
    )


def _with_quick_faults(scenario: Scenario) -> Scenario:
    return replace(scenario, faults=[fault for fault in scenario.faults if fault.kind not in SLOW_TO_SIMULATE])


class SimulatedSandbox(Sandbox):
    """The sandbox on the simulated network, which has no listening sockets of the system."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        super().__init__(
            scenario.world,
            limiter=scenario.limiter,
            faults=FaultPlan(scenario.faults, seed=seed),
            latency=scenario.latency,
            skew=seed % 200 - 100.0,
            clock=time.time,
            address=ServerAddress(port=PORT),
        )

    async def resume(self) -> None:
        """Listen again."""
        if self._http is not None and self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = cast(Any, await loop.create_server(self._http, self.host, self.port))

    async def stop_listening(self) -> None:
        """Simulate an outage: listen no more, and abort every connection."""
        if self._listener is None or self._http is None:
            return
        self._listener.close()
        self._listener = None
        for connection in self._http.connections:
            if connection.transport is not None:
                connection.transport.abort()


@dataclass
class ProductPlay(rounds.Play):
    """One round that is being played; its sessions are processes of the simulation."""

    random: Random = field(kw_only=True)
    report: list[dict[str, str]] = field(default_factory=list)
    torn_commits: int = 0
    resets: int = 0

    async def play(self, world: World) -> None:
        """Play the round. Raises Violation."""
        self._world = world
        scenario = self.scenario
        before = scenario.world.pairs_with_role("leader")
        async with self.sandbox:
            beside = (self.go_away_once(), self.act_as_others(), self.carry_out_late(), self._break_connections())
            async with rounds.beside(*beside):
                code = await self.until_done()
            await self.sandbox.resume()
            self.report = read_report(self.folder / "o")
            judge(scenario, self.report, self.history, stopped=code not in rounds.FINISHED)
            await self._undo(before)

    async def _session(self, account: Account, interruption: Interruption | None) -> int:
        job = write_job(self.folder / "job.csv", self.scenario.lines_of(self.sessions))
        self.sessions += 1
        stop = StopSignal()
        context = self._context(account, stop)
        self._process = self._world.start(f"session {self.sessions}", lambda: _run(job, self.folder / "o", context))
        async with rounds.beside(self._disturb(self._process, stop, interruption)):
            code = await self._process.wait()
        if code is None or (interruption is not None and len(interruption.signals) > 1):
            self.gaps.append(Gap(time.time(), time.time() + STILL_UNDER_WAY))
        return -1 if code is None else code

    def _context(self, account: Account, stop: StopSignal) -> AppContext:
        scenario = self.scenario
        settings = replace(
            SETTINGS,
            concurrency=scenario.concurrency,
            room_cache=scenario.room_cache,
            read_roles=scenario.read_roles,
            message_evidence=scenario.message_evidence,
        )
        workspace = ConnectionConfig(self.sandbox.url, connect_timeout=0.5, timeout=ANSWER_TIMEOUT - 0.5)
        return AppContext(workspace, Credentials(account.user_id, account.token), settings, stop=stop)

    async def _disturb(self, process: Process, stop: StopSignal, interruption: Interruption | None) -> None:
        """Do to the process what the campaign does; a power cut takes the place of a kill and of harms to the disk."""
        if interruption is None:
            return
        await self.sandbox.wait_for_calls(len(self.scenario.world.calls) + interruption.after_calls)
        await asyncio.sleep(interruption.and_seconds)
        if interruption.pause:
            await self._disconnect(process, interruption.pause)
        elif interruption.harm not in (None, Harm.CLOCK) or _is_kill(interruption):
            self._cut_power(process)
        for _ in interruption.signals if not _is_kill(interruption) else ():
            if stop.reason is None:
                stop.request(StopReason.INTERRUPTED)
            else:
                process.cancel()
            await asyncio.sleep(0.01)

    async def _disconnect(self, process: Process, seconds: float) -> None:
        started = time.time()
        process.disconnect()
        try:
            await asyncio.sleep(seconds)
        finally:
            process.reconnect()
            self.gaps.append(Gap(started, time.time() + 1.0))  # what had arrived may still time out

    def _cut_power(self, process: Process) -> None:
        folder, before = self.folder / "o", read_files(self.folder / "o")
        in_progress = process.power_off()
        if in_progress is None:
            files = before
        else:
            with suppress(Exception):  # the process that it is of interest to is dead
                in_progress()
            files = torn_files(before, read_files(folder), self.random)
            self.torn_commits += files != before
        replace_folder(folder, files, self.folder / f"dead {self.sessions}")
        self.kills += 1

    async def _break_connections(self) -> None:
        """Break the connections of the worker some times."""
        calls = self.scenario.world.calls
        for after in sorted(self.random.randint(1, 80) for _ in range(self.random.choice((0, 0, 1, 3)))):
            await self.sandbox.wait_for_calls(max(after, len(calls)))
            await asyncio.sleep(self.random.uniform(0.0, 0.05))
            self._process.reset_connections()
            self.resets += 1
            self.gaps.append(Gap(time.time(), time.time()))

    async def _undo(self, before: set[Pair]) -> None:
        """Undo the run without any fault and compare the roles."""
        if not any(row["outcome"] == Outcome.REMOVED and row["evidence"] != Evidence.INFERRED for row in self.report):
            return
        self.sandbox.faults.clear()
        context = self._context(ACCOUNT, StopSignal())
        process = self._world.start("undo", lambda: _end(undo_run(self.folder / "o", RunRequest(), context)))
        code = await process.wait()
        assert code in rounds.FINISHED, f"the undo ended with {code}"
        judge_undo(self.scenario, before, self.report)


def _is_kill(interruption: Interruption) -> bool:
    return signal.SIGKILL in interruption.signals


async def _run(job: Path, out: Path, context: AppContext) -> int:
    """Run a job as the command does; return the exit code."""
    with open_job(str(job)) as opened:
        return await _end(run_job(opened, out, RunRequest(is_unattended=True), context))


async def _end(work: Coroutine[Any, Any, RunResult]) -> int:
    """Return the exit code of a run."""
    try:
        return exit_code_of_run(await work)
    except (RolecallError, OSError) as error:
        return exit_code_of(error)
    except asyncio.CancelledError:  # a second signal
        return ExitCode.INTERRUPTED
