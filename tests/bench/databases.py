"""PostgreSQL beside SQLite on one machine: intents and outcomes as the engine writes them, and a large import."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from rolecall.cli.terminal import event_loop
from rolecall.models import BadRow, DueRow, Outcome, Row, RowOutcome
from rolecall.store.base import PAGE_SIZE, RunStore
from rolecall.store.batch_writer import BatchWriter
from rolecall.store.postgres.connection import DatabaseConfig, connect
from rolecall.store.postgres.runs import NewRun, create_run
from rolecall.store.postgres.store import PostgresStore, open_store
from rolecall.store.records import Count, Identity, Intent
from rolecall.store.sqlite.store import SqliteStore
from tests.bench import measure
from tests.support.postgres import Database, PostgresServer, all_binaries

Say = Callable[[str], None]
IDENTITY = Identity("https://chat.example.org", "groups.removeLeader", "bench")
IN_FLIGHT = 64
ANSWER = 0.004
"""Seconds for which a worker waits for the answer to its request."""
TO_DISK = {"shared_buffers": "128MB"}
"""The settings of a server that waits for the disk with each commit, as SQLite does."""


def databases(rows: int, rounds: int, submitted: int, say: Say) -> dict[str, Any]:
    """Measure each database in turn, `rounds` times over `rows` rows; then an import of `submitted` rows."""
    with measure.scratch() as folder:
        folder.chmod(0o755)  # a server that root starts runs as another user
        servers = {
            name: PostgresServer(binaries, TO_DISK, parent=str(folder)) for name, binaries in all_binaries().items()
        }
        try:
            stores = {_name(server): _prepared(server) for server in servers.values()}
            return {
                "rounds": rounds,
                "rows": rows,
                "in_flight": IN_FLIGHT,
                "speed": _speeds(stores, folder, rows, rounds, say),
                "submit": {name: _submit(database, submitted, say) for name, database in stores.items()},
            }
        finally:
            for server in servers.values():
                server.stop()


def _name(server: PostgresServer) -> str:
    version = server.create_database().execute("SHOW server_version")[0][0]
    return f"PostgreSQL {str(version).split('.')[0]}"


def _prepared(server: PostgresServer) -> Database:
    database = server.initialised_database()
    database.execute("INSERT INTO workspace (name, url) VALUES ('main', 'https://chat.example.org')")
    return database


def _speeds(
    stores: dict[str, Database], folder: Path, rows: int, rounds: int, say: Say
) -> dict[str, list[dict[str, float]]]:
    taken: dict[str, list[dict[str, float]]] = {"SQLite": [], **{name: [] for name in stores}}
    for number in range(rounds):
        taken["SQLite"].append({"per_second": event_loop.run(_in_sqlite(folder / f"{number}.sqlite", rows))})
        for name, database in stores.items():
            taken[name].append({"per_second": event_loop.run(_in_postgres(database, rows))})
        say(", ".join(f"{name} {one[-1]['per_second']:,.0f} rows/s" for name, one in taken.items()))
    return taken


async def _in_sqlite(file: Path, rows: int) -> float:
    async with await SqliteStore.open(file) as store:
        return await _process(store, rows)


async def _in_postgres(database: Database, rows: int) -> float:
    async with _new_run(database) as store:
        return await _process(store, rows)


@asynccontextmanager
async def _new_run(database: Database) -> AsyncIterator[PostgresStore]:
    config = DatabaseConfig.parse(database.url)
    async with await connect(config) as connection:
        run = await create_run(connection, config, NewRun("main", 1))
    async with open_store(config, run) as store:
        yield store


async def _pages(rows: int) -> AsyncIterator[Sequence[Row | BadRow]]:
    for start in range(0, rows, PAGE_SIZE):
        numbers = range(start, min(start + PAGE_SIZE, rows))
        yield [Row(number + 1, f"room{number // 20:017}", f"user{number % 997:017}", {}) for number in numbers]


async def _process(store: RunStore, rows: int) -> float:
    """Give every row an intent, an answer after a while and an outcome; return the rows a second."""
    await store.import_rows(IDENTITY, _pages(rows))
    await store.open_session("bench", 1)
    queue: asyncio.Queue[DueRow | None] = asyncio.Queue(2 * PAGE_SIZE)
    started = time.perf_counter()
    async with BatchWriter(store) as writer:
        workers = [asyncio.create_task(_work(writer, queue)) for _ in range(IN_FLIGHT)]
        after = 0
        while due := await store.fetch_due(after, PAGE_SIZE, retry_failed=False):
            after = due[-1][0]
            for _, row in due:
                await queue.put(row)
        for _ in workers:
            await queue.put(None)
        await asyncio.gather(*workers)
    seconds = time.perf_counter() - started
    if await store.counts() != [Count(Outcome.REMOVED, "", rows)]:
        raise measure.Failed("not every row was recorded")
    return rows / seconds


async def _work(writer: BatchWriter, queue: "asyncio.Queue[DueRow | None]") -> None:
    while (row := await queue.get()) is not None:
        await writer.write_intent(Intent(row.key, 1, time.time_ns() // 1_000_000))
        await asyncio.sleep(ANSWER)
        at = time.time_ns() // 1_000_000
        writer.write_outcome(RowOutcome(row.key, Outcome.REMOVED, "", 200, "", "", at, 4, False, "response"))


def _submit(database: Database, rows: int, say: Say) -> dict[str, float]:
    """Return the seconds that an import and its packing take, and those of the counts and of a report."""

    async def measured() -> dict[str, float]:
        async with _new_run(database) as store:
            started = time.perf_counter()
            await store.import_rows(IDENTITY, _pages(rows))
            imported = time.perf_counter()
            counts = [await _seconds(store) for _ in range(5)]
            began = time.perf_counter()
            found = sum([len(page) async for page in store.results()])
            if found != rows:
                raise measure.Failed(f"{found} of {rows} rows were imported")
            seconds = {"import": imported - started, "counts": median(counts), "report": time.perf_counter() - began}
        say(", ".join(f"{name} {taken:.3f} s" for name, taken in seconds.items()))
        return seconds | {"rows": rows}

    return event_loop.run(measured())


async def _seconds(store: RunStore) -> float:
    started = time.perf_counter()
    await store.counts()
    return time.perf_counter() - started
