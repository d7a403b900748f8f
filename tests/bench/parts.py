"""What one row costs in each part: the real code of each, alone in a loop, in microseconds of processor time."""

import asyncio
import gc
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, cast

from rolecall.cli.terminal import event_loop
from rolecall.engine.clock import Clock
from rolecall.engine.settings import Settings
from rolecall.engine.throttle.admission import AdmissionController, CallKind
from rolecall.files.input.job import open_job
from rolecall.files.output.report import open_reports
from rolecall.models import BadRow, Outcome, Reply, Row, RowOutcome
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.rocketchat.error_table import Action, ErrorRule
from rolecall.rocketchat.operations import REMOVE_LEADER
from rolecall.rocketchat.response_classifier import CallResult, classify
from rolecall.store.batch_writer import BatchWriter
from rolecall.store.records import Batch, Identity, Intent
from rolecall.store.sqlite.database import SqliteDatabase
from tests.bench import measure
from tests.bench.jobs import pair, write_job
from tests.support.store import as_store, import_rows

Say = Callable[[str], None]
Part = Callable[[], None]
IN_FLIGHT = 64
IDENTITY = Identity("http://127.0.0.1", REMOVE_LEADER.name, "")
HEADERS = {"Content-Type": "application/json", "Date": "Mon, 23 Nov 2026 12:00:00 GMT", "Content-Length": "16"}
GOOD = Reply(200, HEADERS, b'{"success":true}', 1.0, 1.0)


def parts(rows: int, rounds: int, say: Say) -> list[dict[str, Any]]:
    """Measure each part `rounds` times over `rows` rows; medians, with the least and the greatest."""
    with measure.running_target() as target, measure.scratch() as folder:
        stock = _Stock(folder, rows, target)
        known: list[tuple[str, Part]] = [
            ("reading the job file", stock.read),
            ("taking the rows into the ledger", stock.import_rows),
            ("reading what is due", stock.due),
            ("admission: concurrency, breaker, rate limits", stock.admission),
            ("journal: intents and outcomes, on disk", stock.journal),
            ("of which SQLite alone, 64 rows a batch", stock.commit),
            ("request and answer", stock.request),
            ("classification", stock.classify),
            ("report", stock.report),
        ]
        found = []
        for name, part in known:
            costs = [_microseconds(part, rows) for _ in range(rounds)]
            cpu, wall = [one[0] for one in costs], [one[1] for one in costs]
            found.append({"part": name, "cpu": median(cpu), "least": min(cpu), "most": max(cpu), "wall": median(wall)})
            say(f"{name}: {median(cpu):.2f} µs of processor time, {median(wall):.2f} µs in all")
        return found


def _microseconds(part: Part, rows: int) -> tuple[float, float]:
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    part()
    return (time.process_time() - cpu) / rows * 1e6, (time.perf_counter() - wall) / rows * 1e6


class _Stock:
    """What the parts work on: a job, ledgers, the target."""

    def __init__(self, folder: Path, rows: int, target: measure.Target) -> None:
        self._folder, self._rows, self._target = folder, rows, target
        self._numbers = itertools.count()
        self._job = write_job(folder / "job.csv", rows)
        self._full = self._taken_in()
        batch = [RowOutcome(key, Outcome.REMOVED, "", 200, "", "", 1, 1, False) for key in range(1, rows + 1)]
        self._full.commit(Batch(batch, [], []))

    def read(self) -> None:
        """Read the whole file as `run` does."""
        with open_job(str(self._job)) as job:
            for _ in job.rows():
                pass

    def import_rows(self) -> None:
        """Make the rows the ledger's; its reading of the file is part of it."""
        self._taken_in().close()

    def due(self) -> None:
        """Read the rows in the feed's portions."""
        ledger, place = self._open(), 0
        while found := ledger.fetch_due(place, 512, retry_failed=True):
            place = found[-1][0]
        ledger.close()

    def admission(self) -> None:
        """Acquire and record the response, without waiting."""
        admission = AdmissionController.build(Settings(rate=None, concurrency=IN_FLIGHT), Clock())
        route = admission.route(REMOVE_LEADER.path, CallKind.CHANGE)
        verdict = CallResult(ErrorRule("", Outcome.REMOVED, Action.FINISH, ""), "", "", 200)

        async def one(number: int) -> None:
            probing = await route.acquire()
            route.record_response(number, GOOD, verdict, probing=probing)

        event_loop.run(self._by_workers(one, workers=1))

    def journal(self) -> None:
        """Hand an outcome over and wait for the next intent, 64 rows at once."""
        ledger = self._open()

        async def main() -> None:
            async with BatchWriter(as_store(ledger)) as journal:

                async def one(number: int) -> None:
                    await journal.write_intent(Intent(number + 1, 1, 1))
                    journal.write_outcome(_settled(number + 1))

                await self._by_workers(one)

        event_loop.run(main())
        ledger.close()

    def commit(self) -> None:
        """Commit batches of 64 intents and 64 outcomes on this thread."""
        ledger = self._open()
        for first in range(1, self._rows + 1, IN_FLIGHT):
            keys = range(first, min(first + IN_FLIGHT, self._rows + 1))
            ledger.commit(Batch([_settled(key) for key in keys], [], [Intent(key, 1, 1) for key in keys]))
        ledger.close()

    def request(self) -> None:
        """Post to the target, 64 calls in flight."""

        async def main() -> None:
            async with Client(ConnectionConfig(self._target.url), Credentials("bench", "token")) as client:

                async def one(number: int) -> None:
                    await client.post_pair(REMOVE_LEADER.path, *pair(number))

                await self._by_workers(one)

        self._target.reset()
        event_loop.run(main())
        measure.check_rows(self._target, self._rows, "the client")

    def classify(self) -> None:
        """Classify good answers."""
        for _ in range(self._rows):
            classify(GOOD, REMOVE_LEADER)

    def report(self) -> None:
        """Write report.csv from the ledger."""
        with open_reports(self._folder, self._full.extra_columns()) as write:
            write(self._full.results())

    def _open(self) -> SqliteDatabase:
        return SqliteDatabase(self._full.path)

    def _taken_in(self) -> SqliteDatabase:
        ledger = SqliteDatabase(self._folder / f"ledger-{next(self._numbers)}.sqlite")
        with open_job(str(self._job)) as job:
            import_rows(ledger, IDENTITY, cast(Iterator[Row | BadRow], job.rows()))
        return ledger

    async def _by_workers(self, one: Callable[[int], Awaitable[None]], workers: int = IN_FLIGHT) -> None:
        async def work(numbers: Iterator[int]) -> None:
            for number in numbers:
                await one(number)

        numbers = iter(range(self._rows))
        await asyncio.gather(*(work(numbers) for _ in range(workers)))


def _settled(key: int) -> RowOutcome:
    return RowOutcome(key, Outcome.REMOVED, "", 200, "", "", 1, 1, False)
