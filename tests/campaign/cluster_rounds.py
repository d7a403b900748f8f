"""Plays a scenario with several workers on one database: kills, freezes, crashes, a slow network, wrong clocks."""

import asyncio
import contextlib
import signal
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from rolecall.sandbox import ACCOUNT, FaultPlan, Sandbox
from tests.campaign.database_proxy import DatabaseProxy
from tests.campaign.harms import faketime_environment, step_clock
from tests.campaign.judge import Gap, Violation, judge
from tests.campaign.rounds import Play, Round, beside
from tests.campaign.scenario import ANSWER_TIMEOUT, Scenario, draw
from tests.support.cluster import WORKSPACE, Cluster, WorkerProcess, open_cluster
from tests.support.command import Ended, read_report, rolecall, write_job
from tests.support.postgres import PostgresServer

QUICK = 4.0
"""Leases are so many times shorter than in use, so that a round takes seconds."""
_QUICK_LEASES = f"""
import rolecall.cluster.database.lease as lease
lease.HEARTBEAT, lease.STALLED, lease.MARGIN, lease.FRESH = (
    each / {QUICK} for each in (lease.HEARTBEAT, lease.STALLED, lease.MARGIN, lease.FRESH)
)
"""
MAX_RESUMES = 12
ROUND_SECONDS = 300.0
"""Seconds after which a run that has not ended is a violation: shards are lost."""
AHEAD = 2
"""Rows in doubt after an accident, as a multiple of the calls in flight."""


@dataclass
class ClusterPlay(Play):
    """One round with several workers."""

    cluster: Cluster = field(kw_only=True)
    server: PostgresServer = field(kw_only=True)
    proxy: DatabaseProxy = field(kw_only=True)
    random: Random = field(kw_only=True)
    run: int = 0
    stops: int = 0
    """How often the run was resumed after a stop."""

    async def until_ended(self) -> bool:
        """Submit the job, disturb the workers, resume the run where it stopped; return whether it ended."""
        write_job(self.folder / "job.csv", self.scenario.lines)
        self.run = await self._submit()
        for number in range(self.random.choice((2, 2, 3))):
            await self._start_worker(number)
        async with beside(self._disturb()):
            return await self._resume_until_ended()

    async def _submit(self) -> int:
        scenario = self.scenario
        words = (
            *("submit", "job.csv", "--yes", "--workspaces", self.cluster.workspaces_file(), "--rate", "unlimited"),
            *("--workspace", WORKSPACE),
            *("--concurrency", scenario.concurrency, "--max-attempts", 3, "--retry-backoff", 0.02),
            *("--max-failures", "100%", "--max-removals", "100%", "--outage-timeout", 3),
            *("--shard-rows", self.random.choice((5, 20, 50))),
            "--room-cache" if scenario.room_cache else "--no-room-cache",
            "--read-roles" if scenario.read_roles else "--no-read-roles",
            "--message-evidence" if scenario.message_evidence else "--no-message-evidence",
        )
        for _ in range(MAX_RESUMES):
            ended = await self._command(*words)
            if ended.code == 0:
                return int(ended.stdout.split()[-1])
            await asyncio.sleep(0.3)
        raise AssertionError(ended.stderr)

    async def _command(self, *words: object) -> Ended:
        return await rolecall(*map(str, words), cwd=self.folder, env=self.cluster.environment())

    async def _start_worker(self, number: int) -> WorkerProcess:
        options = ("--timeout", str(ANSWER_TIMEOUT - 0.5), "--connect-timeout", "0.5", "--shutdown-timeout", "5")
        environ = {"ROLECALL_DATABASE_URL": self.server.tcp_url(self.cluster.database.name)}
        environ["ROLECALL_DATABASE_URL"] = environ["ROLECALL_DATABASE_URL"].replace(
            f":{self.server.port}/", f":{self.proxy.port}/"
        )
        if number == 0 and self.scenario.has_clock_steps:
            environ |= faketime_environment(self.folder)
        return await self.cluster.start_worker(
            f"egress-{number}", *options, address=f"127.0.0.{number + 2}", environ=environ, first=_QUICK_LEASES
        )

    async def _resume_until_ended(self) -> bool:
        deadline = time.monotonic() + ROUND_SECONDS
        state = "SELECT CASE WHEN ended_at IS NOT NULL THEN 'ended' ELSE stop END FROM run WHERE id = %s"
        while time.monotonic() < deadline:
            with contextlib.suppress(Exception):  # the database may be away
                ((found,),) = await self.cluster.query(state, self.run)
                if found == "ended":
                    return True
                if found:
                    self.stops += 1
                    await asyncio.sleep(0.5)
                    await self._command("runs", "resume", self.run)
            await asyncio.sleep(0.1)
        return False

    async def _disturb(self) -> None:
        """Do something to a worker, the network or the database, again and again."""
        deeds = (
            self._kill, self._kill, self._freeze, self._freeze, self._crash_database, self._slow_network,
            self._cut_network, self._drop_connections, self._terminate, self._step_clock,
        )  # fmt: skip
        for _ in range(self.random.choice((0, 1, 2, 3, 4))):
            await self.sandbox.wait_for_calls(len(self.sandbox.world.calls) + self.random.randint(1, 30))
            await asyncio.sleep(self.random.choice((0.0, 0.003, 0.01, 0.1)))
            started = time.time()
            try:
                with contextlib.suppress(ProcessLookupError):
                    await self.random.choice(deeds)()
            finally:  # also where the run ends meanwhile
                self.gaps.append(Gap(started, time.time() + 1.0))

    def _any(self) -> WorkerProcess:
        alive = [worker for worker in self.cluster.workers if worker.process.returncode is None]
        return self.random.choice(alive)

    async def _restart(self, worker: WorkerProcess) -> None:
        await worker.wait()
        await self._start_worker(int(worker.egress.rpartition("-")[2]))

    async def _kill(self) -> None:
        worker = self._any()
        worker.signal(signal.SIGKILL)
        self.kills += 1
        await self._restart(worker)

    async def _terminate(self) -> None:
        worker = self._any()
        worker.signal(signal.SIGTERM)
        await self._restart(worker)

    async def _freeze(self) -> None:
        worker = self._any()
        worker.signal(signal.SIGSTOP)
        self.pauses += 1
        try:
            await asyncio.sleep(self.random.choice((0.3, 1.5, 10.0 / QUICK, 16.0 / QUICK)))
        finally:
            worker.signal(signal.SIGCONT)
        await asyncio.sleep(1.0)

    async def _crash_database(self) -> None:
        self.harms += 1
        await asyncio.to_thread(self.server.crash)
        try:
            await asyncio.sleep(self.random.choice((0.0, 1.0, 3.0)))
        finally:
            await asyncio.to_thread(self.server.start)

    async def _slow_network(self) -> None:
        self.harms += 1
        self.proxy.delay = self.random.choice((0.005, 0.05, 0.3))
        await asyncio.sleep(self.random.uniform(0.5, 3.0))
        self.proxy.delay = 0.0

    async def _cut_network(self) -> None:
        self.harms += 1
        self.proxy.is_cut = True
        await asyncio.sleep(self.random.choice((0.5, 2.0, 4.0)))
        self.proxy.is_cut = False
        await asyncio.sleep(1.0)

    async def _drop_connections(self) -> None:
        self.harms += 1
        self.proxy.drop()
        await asyncio.sleep(1.0)

    async def _step_clock(self) -> None:
        if self.scenario.has_clock_steps:
            self.harms += 1
            step_clock(self.folder, self.random.choice((-3600, -5, 5, 3600)))


def for_workers(scenario: Scenario) -> Scenario:
    """Return the scenario with one account: that of the run."""
    return replace(scenario, accounts=[ACCOUNT], edits={}, interruptions=scenario.interruptions)


async def play_with_workers(seed: int, folder: Path, server: PostgresServer) -> Round:
    """Play the round of a seed with several workers in an empty folder. Raises Violation."""
    random = Random(seed)
    scenario = for_workers(draw(random))
    plan = FaultPlan(scenario.faults, seed=seed)
    database = await asyncio.to_thread(server.initialised_database)
    async with (
        Sandbox(scenario.world, limiter=scenario.limiter, faults=plan, latency=scenario.latency) as sandbox,
        open_cluster(database, sandbox.url, folder) as cluster,
        DatabaseProxy(server.socket) as proxy,
    ):
        round_ = ClusterPlay(scenario, sandbox, folder, cluster=cluster, server=server, proxy=proxy, random=random)
        async with beside(round_.go_away_once(), round_.act_as_others(), round_.carry_out_late()):
            is_ended = await round_.until_ended()
        logs = "\n".join(worker.log for worker in cluster.workers)
        assert is_ended, f"the run has not ended: {await _state(cluster)}\n{logs[-8000:]}"
        assert "Traceback" not in logs, logs
        assert "shard failed" not in logs, logs
        assert ACCOUNT.token not in logs
        reported = await round_._command("runs", "report", round_.run, "--out", "o")
        assert reported.code in (0, 1), reported.stderr
        report = read_report(folder / "o")
        workers = len(cluster.workers)
        in_flight = replace(scenario, concurrency=AHEAD * scenario.concurrency * min(workers, 3))
        try:
            repeated = judge(in_flight, report, round_.history, stopped=False)
        except Violation as violation:
            raise Violation(f"{violation}\n{round_.gaps}\n{logs}") from None
    outcomes = Counter(f"{row['outcome']} {row['evidence']}".strip() for row in report)
    calls = len(scenario.world.calls)
    return Round(len(report), calls, round_.kills, round_.pauses, round_.harms, repeated, 0, outcomes)


async def _state(cluster: Cluster) -> object:
    shards = await cluster.query("SELECT id, token_job, holder, done FROM shard WHERE NOT done")
    jobs = await cluster.query("SELECT lock, status, count(*) FROM procrastinate_jobs GROUP BY 1, 2")
    return await cluster.query("SELECT stop, stop_detail, ended_at FROM run"), shards, jobs
