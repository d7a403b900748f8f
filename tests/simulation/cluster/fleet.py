"""The workers of a scenario: started, disturbed, and started again when they have ended."""

import asyncio
from dataclasses import dataclass, field
from functools import partial

from rolecall.sandbox import ACCOUNT
from tests.simulation.cluster.database import Database
from tests.simulation.cluster.process import WorkerProcess
from tests.simulation.cluster.process_loop import ProcessLoop
from tests.simulation.cluster.scenario import ClusterFault, ClusterScenario, Kind
from tests.simulation.cluster.worker_statements import stop_run
from tests.simulation.network import Line, Network
from tests.simulation.violation import Violation

RESTART = 5.0
"""Seconds after its end until a worker is started again."""


@dataclass
class Fleet:
    """All workers."""

    scenario: ClusterScenario
    loop: ProcessLoop
    database: Database
    network: Network
    without: frozenset[str]
    processes: dict[int, WorkerProcess] = field(default_factory=dict)
    """Every process that was started, by its number."""
    is_ending: bool = False
    """True where no worker is started again."""
    _steps: list[int] = field(default_factory=list)
    _freezes: dict[int, float] = field(default_factory=dict)
    """The processes that freeze when they begin a shard, and for how long."""
    _to_come: dict[int, list[ClusterFault]] = field(default_factory=dict)
    """What happens to each worker, the last one first."""

    async def run(self) -> None:
        """Let every worker live until the fleet ends."""
        scenario = self.scenario
        hosts = range(len(scenario.hosts))
        self._steps = [0 for _ in hosts]
        wanted = [each for each in scenario.faults if each.name not in self.without]
        wanted.sort(key=lambda each: each.after, reverse=True)
        self._to_come = {host: [each for each in wanted if each.host == host] for host in hosts}
        self.database.on_fetch = self._at_fetch
        await asyncio.gather(*(self._live(host) for host in hosts))

    async def _live(self, host: int) -> None:
        await asyncio.sleep(self.scenario.starts[host])
        while not self.is_ending:
            process = self._start(host)
            why = await process.end()
            self.network.note("ended", process.number, why)
            if why:
                self.database.watch.at_lost(process, why)
            await asyncio.sleep(RESTART)

    def _start(self, host: int) -> WorkerProcess:
        number = len(self.processes) + 1
        line = Line(number, ACCOUNT, lambda what: None)
        line.address = self.scenario.hosts[host].egress
        process = WorkerProcess(
            number, self.scenario.hosts[host], self.loop, line, self.scenario.base.timeout, partial(self._step, host)
        )
        self.processes[number] = process
        self.network.note("started", number, process.name)
        process.start(self.database, self.network, self.scenario.grace)
        return process

    def _step(self, host: int, process: WorkerProcess) -> None:
        self._steps[host] += 1
        planned = self._to_come[host]
        while planned and planned[-1].after <= self._steps[host] and not process.is_dead and not process.is_frozen:
            fault = planned.pop()
            self.network.faults[fault.name] = None
            self.network.note(fault.kind.name, process.number, fault.seconds)
            self._act(fault, process)

    def _at_fetch(self, process: WorkerProcess) -> None:
        seconds = self._freezes.pop(process.number, 0.0)
        if seconds and not process.is_dead and not process.is_frozen:
            self.network.note("frozen at a start", process.number, seconds)
            self._freeze(process, seconds)

    def _freeze(self, process: WorkerProcess, seconds: float) -> None:
        process.freeze()
        self.database.timeline.after(seconds, process.thaw)

    def _act(self, fault: ClusterFault, process: WorkerProcess) -> None:
        database, after = self.database, self.database.timeline.after
        connections = database.connections_of(process)
        match fault.kind:
            case Kind.KILL:
                database.watch.at_lost(process, "killed")
                process.kill()
            case Kind.FREEZE:
                self._freeze(process, fault.seconds)
            case Kind.FREEZE_AT_START:
                self._freezes[process.number] = fault.seconds
            case Kind.TERMINATE:
                process.terminate()
            case Kind.BREAK if connections:
                database.watch.at_lost(process, "connection lost")
                connection = connections[fault.detail % len(connections)]
                connection.is_cut = fault.detail == 1
                connection.lose("the connection was reset")
                database.drop(connection)
            case Kind.STALL if connections:
                connections[fault.detail % len(connections)].stalled_until = self.loop.time() + fault.seconds
            case Kind.DATABASE_AWAY:
                self._crash_database()
                after(fault.seconds, database.start)
            case Kind.COMMIT_FAILS:
                database.failing_commits = fault.detail
            case Kind.STOP:
                stop_run(database, None, {"stop": "interrupted", "detail": "requested by an operator"})
                after(fault.seconds, self.resume)

    def _crash_database(self) -> None:
        for process in self.processes.values():
            if self.database.connections_of(process):
                self.database.watch.at_lost(process, "database away")
        self.database.crash()

    def resume(self) -> None:
        """Resume the run, as a person does."""
        tables = self.database.tables
        if tables.ended_at is None and tables.stop:
            self.network.note("resumed", tables.stop)
            tables.resume(self.database.now())

    def end_trouble(self) -> None:
        """Let nothing go wrong any more."""
        self._to_come = {host: [] for host in self._to_come}
        self.network.is_calm = True
        self.database.failing_commits, self.database.lost_notifications = 0, 0.0
        self.database.start()
        for process in self.processes.values():
            process.thaw()

    def end(self) -> None:
        """Let every worker end: SIGTERM."""
        self.is_ending = True
        for process in self.processes.values():
            process.terminate()

    def raise_failure(self) -> None:
        """Raise Violation for an event that must not happen."""
        for process in self.processes.values():
            if process.failure:
                raise Violation("crash", f"process {process.number}: {process.failure}")
