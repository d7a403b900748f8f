"""One worker process: the real worker with an account, a clock and a network of its own; it can freeze and die."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolecall.cluster.database.lease import HeartbeatLease
from rolecall.cluster.worker.lane import Lane, LaneConfig, WorkerIdentity
from rolecall.cluster.worker.worker import Worker
from rolecall.cluster.workspaces_file import WorkspaceEntry
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.models import RolecallError
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.store.postgres.connection import DatabaseConfig
from tests.simulation.client import SimulatedClient
from tests.simulation.cluster.process_loop import ProcessLoop, context_of
from tests.simulation.cluster.tables import WORKSPACE
from tests.simulation.loop import NumberedTask
from tests.simulation.network import URL, Line, Network

if TYPE_CHECKING:
    from tests.simulation.cluster.database import Database

DEATH_THROES = 3600.0
"""Seconds in which the tasks of a dead process, which are cancelled, must have ended."""
TOKEN = "TOKEN"
"""The variable with the token."""


@dataclass(frozen=True)
class Host:
    """The machine of a worker."""

    name: str
    egress: str
    boot_offset: float
    """Seconds by which its clock since the start of the machine is ahead of the world's."""
    drift: float
    """Seconds in a second."""


class ProcessLog:
    """Adds the events of a worker to the trace."""

    def __init__(self, process: "WorkerProcess") -> None:
        self._process = process

    def bind(self, **values: object) -> "ProcessLog":
        """Return itself."""
        return self

    def info(self, event: str, **values: object) -> None:
        """Add an event."""
        self._process.log(event, values)

    def warning(self, event: str, **values: object) -> None:
        """Add an event."""
        self._process.log(event, values)


class WorkerProcess:
    """One start of a worker."""

    def __init__(
        self,
        number: int,
        host: Host,
        loop: ProcessLoop,
        line: Line,
        timeout: float,
        on_step: Callable[["WorkerProcess"], None],
    ) -> None:
        """`line`: its end of the network. `timeout`: seconds that its calls may take. `on_step`: see `step`."""
        self.number = number
        self.host = host
        self.name = f"{host.name}-{number}"
        self.line = line
        self.numbers: set[int] = set()
        """Under which it is registered with the queue."""
        self.is_frozen = False
        self.is_dead = False
        self.failure = ""
        """An event that must not happen."""
        self.task: NumberedTask | None = None
        self._loop = loop
        self._timeout = timeout
        self._on_step = on_step
        self._kept: list[asyncio.Handle] = []
        self._death = loop.create_future()
        self._database: Database | None = None
        self._network: Network | None = None
        self._stop = StopSignal()

    def log(self, event: str, values: dict[str, object]) -> None:
        """Record an event of the worker."""
        if self._network is not None:
            detail = values.get("detail") or values.get("end") or ""
            self._network.note("log", self.number, event, values.get("shard", ""), detail)
        if event == "shard failed":
            self.failure = self.failure or str(values.get("detail"))

    def boot_time(self) -> float:
        """Return the clock that goes on while the machine is suspended."""
        return self.host.boot_offset + self._loop.time() * (1.0 + self.host.drift)

    def heartbeat_age(self) -> float:
        """Return the seconds since the database received its last heartbeat; infinite without one."""
        assert self._database is not None
        seen = self._database.tables.queue_workers
        last = max((seen[number] for number in self.numbers if number in seen), default=float("-inf"))
        return self._database.now() - last

    # Signals

    def step(self) -> None:
        """Be called before each callback."""
        self._on_step(self)

    def keep(self, handle: asyncio.Handle) -> None:
        """Keep a callback until the process goes on."""
        self._kept.append(handle)

    def freeze(self) -> None:
        """SIGSTOP, or a suspended machine."""
        self.is_frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        if self.is_frozen:
            self.is_frozen = False
            kept, self._kept = self._kept, []
            self._loop.resume(kept)

    def kill(self) -> None:
        """SIGKILL: nothing of it reaches the network or the database any more."""
        if self.is_dead:
            return
        self.is_dead, self.line.is_alive = True, False
        self._death.set_result(None)
        assert self._database is not None
        for connection in self._database.connections_of(self):
            connection.lose("the process is dead")
            self._database.drop(connection)
        self.thaw()

    def terminate(self) -> None:
        """SIGTERM."""
        if not self.is_dead:
            self._stop.request(StopReason.INTERRUPTED, "SIGTERM")

    # Its life

    def start(self, database: "Database", network: Network, grace: float) -> None:
        """Start the worker."""
        self._database, self._network = database, network
        task = self._loop.create_task(self._work(grace), context=context_of(self))
        assert isinstance(task, NumberedTask)
        self.task = task

    async def _work(self, grace: float) -> None:
        assert self._database is not None
        account = self.line.account
        identity = WorkerIdentity(self.name, self.host.name, self.host.egress)
        config = LaneConfig(
            identity,
            HeartbeatLease(self.boot_time),
            {TOKEN: account.token},
            lambda text: None,
            timeouts={"timeout": self._timeout},
            now=self._loop.time,
            open_client=self._open_client,
        )
        log = ProcessLog(self)
        entry = WorkspaceEntry(WORKSPACE, URL, account.user_id, "workspaces.toml [workspaces.main]", token_env=TOKEN)
        database = DatabaseConfig("", "the database", "", open=self._connect)
        worker = Worker([Lane(entry, config, log)], config, database, log)
        await worker.run(self._stop, grace)

    async def _connect(self, _: str) -> Any:
        assert self._database is not None
        return await self._database.connect(self)

    def _open_client(self, connection: ConnectionConfig, credentials: Credentials) -> Client:
        assert self._network is not None
        return SimulatedClient(self._network, self.line, self._loop, self._timeout)

    async def end(self) -> str:
        """Wait for the end of the process, and return why it ended; afterwards no task of it is left."""
        assert self.task is not None
        await asyncio.wait([self.task, self._death], return_when=asyncio.FIRST_COMPLETED)
        if self.is_dead:
            await self._die()
            return "killed"
        left = self._loop.tasks_of(self)
        if left:
            raise AssertionError(f"tasks of the process are left: {left}")
        error = self.task.exception()
        if error is not None and not isinstance(error, RolecallError):
            raise error
        return "" if error is None else str(error)

    async def _die(self) -> None:
        """Break off what the process was at; none of it has an effect any more."""
        deadline = self._loop.time() + DEATH_THROES
        while left := self._loop.tasks_of(self):
            if self._loop.time() > deadline:
                raise AssertionError(f"tasks cannot be cancelled: {left}")
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=60.0)
        if self.task is not None and not self.task.cancelled():
            self.task.exception()  # of no interest: the process is dead
