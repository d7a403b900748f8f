"""Several workers on a real PostgreSQL: the installed command as subprocesses, on a workspace of the sandbox."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import MappingProxyType

import psycopg

from rolecall.cluster.database.job_queue import JobQueue, shard_job
from rolecall.cluster.database.lease import DatabaseClock
from rolecall.cluster.database.worker_database import open_database
from rolecall.cluster.runs.settings import ENGINE, settings_to_json
from rolecall.engine.settings import FailureThreshold, Settings
from rolecall.models import Result, Row
from rolecall.rocketchat.operations import REMOVE_LEADER
from rolecall.sandbox import ACCOUNT
from rolecall.store.base import read_pages
from rolecall.store.postgres.connection import DatabaseConfig, connect
from rolecall.store.postgres.runs import NewRun, add_workspace, create_run
from rolecall.store.postgres.store import PostgresStore
from rolecall.store.records import Identity
from tests.support.postgres import Database

NEVER = FailureThreshold(100, is_percent=True)
PLAIN = Settings(rate=None, max_failures=NEVER, retry_backoff=0.1)
WORKSPACE = "main"
_FROM_ADDRESS = """
import sys, aiohttp
class Connector(aiohttp.TCPConnector):
    def __init__(self, **options):
        super().__init__(local_addr=({address!r}, 0), **options)
aiohttp.TCPConnector = Connector
from rolecall.cli.entry import main
sys.exit(main())
"""
"""A worker whose calls come from an address of its own."""


@dataclass(eq=False)
class WorkerProcess:
    """A worker and its log."""

    process: asyncio.subprocess.Process
    egress: str
    log_file: Path

    @property
    def log(self) -> str:
        """Return what it has logged so far."""
        return self.log_file.read_text("utf-8")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def wait(self, seconds: float = 30) -> int:
        """Return its exit code."""
        return await asyncio.wait_for(self.process.wait(), seconds)

    async def wait_for_line(self, text: str, seconds: float = 30) -> None:
        """Return once its log has this text."""
        async with asyncio.timeout(seconds):
            while text not in self.log:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.02)


@dataclass(eq=False)
class Cluster:
    """A database, the URL of a workspace, and the workers that were started."""

    database: Database
    url: str
    folder: Path
    workers: list[WorkerProcess] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def config(self) -> DatabaseConfig:
        """Return how to connect to the database."""
        return DatabaseConfig.parse(self.database.url)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a command."""
        return {
            "PATH": os.environ["PATH"],
            "ROLECALL_DATABASE_URL": self.database.url,
            "TEST_TOKEN": ACCOUNT.token,
            **more,
        }

    def workspaces_file(self) -> Path:
        """Return the file of the workspace; it is written unless there is one."""
        path = self.folder / "workspaces.toml"
        if not path.exists():
            path.write_text(
                f'[workspaces.{WORKSPACE}]\nurl = "{self.url}"\nuser_id = "{ACCOUNT.user_id}"\n'
                'token_env = "TEST_TOKEN"\n'
            )
            path.chmod(0o600)
        return path

    async def create_run(
        self, pairs: Iterable[tuple[str, str]], settings: Settings = PLAIN, *, shard_rows: int = 50, **more: object
    ) -> int:
        """Create a run of these pairs and release it; return its id."""
        connection = await connect(self.config)
        try:
            await add_workspace(connection, self.config, WORKSPACE, self.url)
            values = {ENGINE: settings_to_json(settings), **more}
            run = await create_run(connection, self.config, NewRun(WORKSPACE, round(time.time() * 1000), values))
            store = PostgresStore(connection, self.config, run, shard_rows=shard_rows)
            rows = [Row(line, room, user, {}) for line, (room, user) in enumerate(pairs, start=2)]
            identity = Identity(self.url, REMOVE_LEADER.name, "digest")
            await store.import_rows(identity, read_pages(rows))
            async with connection.transaction():
                await connection.execute("UPDATE run SET is_released = true, resumption = 1 WHERE id = %s", [run])
                shards = await (
                    await connection.execute("SELECT id FROM shard WHERE run_id = %s ORDER BY id", [run])
                ).fetchall()
                await JobQueue(connection, self.config).defer(
                    [shard_job(WORKSPACE, int(str(shard))) for (shard,) in shards]
                )
            return run
        finally:
            await connection.close()

    async def start_worker(
        self,
        egress: str,
        *options: str,
        address: str | None = None,
        first: str = "",
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> WorkerProcess:
        """Start a worker; `address`: where its calls come from, `first`: a program that it begins with."""
        words = ["worker", "--workspaces", str(self.workspaces_file()), "--egress", egress, "--log-format", "json"]
        log_file = self.folder / f"worker-{next(self.numbers)}.log"
        python = [sys.executable, "-c", first + _FROM_ADDRESS.format(address=address or "127.0.0.1")]
        with log_file.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *python, *words, *options,
                cwd=self.folder, env=self.environment(**environ), stdin=asyncio.subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip
        worker = WorkerProcess(process, egress, log_file)
        self.workers.append(worker)
        return worker

    async def query(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Return the rows of a statement."""
        async with await psycopg.AsyncConnection.connect(self.config.conninfo, autocommit=True) as connection:
            return await (await connection.execute(statement.encode(), values)).fetchall()

    async def wait_until_ended(self, run: int, seconds: float = 60) -> None:
        """Return once every shard of the run is done."""
        await self.wait_until("SELECT ended_at IS NOT NULL FROM run WHERE id = %s", run, seconds=seconds)

    async def wait_until(self, statement: str, *values: object, seconds: float = 60) -> None:
        """Return once a statement returns true; a database that is away is waited for."""
        async with asyncio.timeout(seconds):
            while True:
                with suppress(psycopg.OperationalError):
                    if (await self.query(statement, *values))[0][0]:
                        return
                await asyncio.sleep(0.05)

    async def stop_run(self, run: int, stop: str = "interrupted") -> None:
        """Stop a run, as `rolecall runs stop` does."""
        async with open_database(self.config, DatabaseClock()) as database:
            await database.stop_run(run, stop, "")

    async def settled(self, run: int) -> int:
        """Return the number of rows with an outcome."""
        ((rows,),) = await self.query("SELECT count(*) FROM pair WHERE run_id = %s AND outcome IS NOT NULL", run)
        return int(str(rows))

    async def wait_for_rows(self, run: int, rows: int, seconds: float = 60) -> None:
        """Return once so many rows of a run have an outcome."""
        await self.wait_until(
            "SELECT count(*) >= %s FROM pair WHERE run_id = %s AND outcome IS NOT NULL", rows, run, seconds=seconds
        )

    async def results(self, run: int) -> list[Result]:
        """Return the rows of a run as a report has them."""
        async with PostgresStore(await connect(self.config), self.config, run) as store:
            return [result async for page in store.results() for result in page]

    async def outcomes(self, run: int) -> Counter[tuple[str, str]]:
        """Return the number of rows by outcome and reason."""
        return Counter((result.outcome.value, result.reason) for result in await self.results(run))


@asynccontextmanager
async def open_cluster(database: Database, url: str, folder: Path) -> AsyncIterator[Cluster]:
    """Return a cluster; its workers are killed in the end."""
    cluster = Cluster(database, url, folder)
    try:
        yield cluster
    finally:
        for worker in cluster.workers:
            if worker.process.returncode is None:
                worker.process.kill()
                await worker.process.wait()
