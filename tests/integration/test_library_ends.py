"""How the library ends early: left, cancelled, killed; and that what it has told is on disk before."""

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from pathlib import Path
from textwrap import dedent

import pytest

from rolecall import Outcome, Result, RunStopped, Settings, StopReason, StoreError, change_roles
from rolecall.models import Evidence
from rolecall.sandbox import Fault, FaultMatch, Kind, Sandbox, leader_world
from rolecall.store.records import Batch
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.command import environment, many
from tests.support.library import FAST, HASTY, at, first, recorded
from tests.support.truth import changing_calls, wait_for_changes

PAIRS = many(200)


def others() -> set[asyncio.Task[object]]:
    """Give every task of the loop but the present one and the sandbox's."""
    ours = ("rolecall", "worker-", "ledger", "stop")
    return {task for task in asyncio.all_tasks() if task.get_name().startswith(ours)}


async def test_leaving_ends_the_run_and_loses_nothing(tmp_path: Path) -> None:
    """A generator that is closed sends no further row and lets go of its folder; the next call tells every row."""
    async with Sandbox(leader_world(PAIRS), latency=0.005) as sandbox:

        def run() -> AsyncGenerator[Result, None]:
            return change_roles(PAIRS, **at(sandbox), folder=tmp_path, settings=FAST)

        taken = await first(run(), 10)
        assert others() == set()
        assert len(changing_calls(sandbox.world)) < 10 + 64 + 20
        results = [each async for each in run()]
        assert all(sandbox.world.removals(*pair) == 1 for pair in PAIRS)
        assert len(changing_calls(sandbox.world)) == len(PAIRS)
    assert {each.outcome for each in taken} == {Outcome.REMOVED}
    assert Counter(each.outcome for each in results) == {Outcome.REMOVED: 200}
    assert len({each.line for each in results}) == 200


async def test_leaving_before_the_first_result_leaves_nothing(tmp_path: Path) -> None:
    """A run that has sent nothing leaves no ledger behind."""
    rows = [("", "invalid"), *PAIRS]
    async with Sandbox(leader_world(PAIRS)) as sandbox:
        run = change_roles(rows, **at(sandbox), folder=tmp_path / "run", settings=FAST)
        assert [each.outcome for each in await first(run, 1)] == [Outcome.INVALID]
        assert sandbox.world.removals(*PAIRS[0]) == 0
    assert list((tmp_path / "run").iterdir()) == []


PROGRAM = """
    import asyncio, os, sys
    from rolecall import ConnectionConfig, Credentials, Settings, change_roles

    async def main() -> None:
        where = ConnectionConfig(os.environ["ROCKETCHAT_URL"])
        who = Credentials("bulkBotAccount234", os.environ["ROCKETCHAT_AUTH_TOKEN"])
        pairs = [(f"room{n % 7}", f"user{n:04}") for n in range(200)]
        run = change_roles(
            pairs, connection=where, credentials=who, folder=sys.argv[1], settings=Settings(rate=None)
        )
        async for result in run:
            if result.line >= 10:
                break
    asyncio.run(main())
"""


@pytest.mark.e2e
async def test_a_break_at_the_end_of_the_program(tmp_path: Path) -> None:
    """A plain break just before the loop ends: no word on standard error, and the same call goes on truthfully."""
    async with Sandbox(leader_world(PAIRS), latency=0.005) as sandbox:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-X", "dev", "-W", "error", "-c", dedent(PROGRAM), str(tmp_path),
            env=environment(sandbox.url), stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, told = await process.communicate()
        # On a busy machine the development mode reports callbacks that took longer than 0.1 s.
        lines = [line for line in told.decode().splitlines() if not line.startswith("Executing <")]
        assert (process.returncode, lines) == (0, [])
        assert len(sandbox.world.calls) < len(PAIRS)
        run = change_roles(PAIRS, **at(sandbox), folder=tmp_path, settings=FAST)
        results = [each async for each in run]
        assert all(sandbox.world.removals(*pair) == 1 for pair in PAIRS)
    assert Counter(each.outcome for each in results) == {Outcome.REMOVED: 200}


async def consume(run: AsyncGenerator[Result, None], into: list[Result]) -> None:
    """Take every result."""
    async with aclosing(run):
        async for each in run:
            into.append(each)  # noqa: PERF401 # they are wanted although it raises


async def test_cancelling_awaits_the_calls_under_way(tmp_path: Path) -> None:
    """The first cancellation ends in stages: what was sent is answered, recorded, and not in doubt."""
    async with Sandbox(leader_world(PAIRS), latency=0.2) as sandbox:
        run = change_roles(PAIRS, **at(sandbox), folder=tmp_path, settings=FAST)
        task = asyncio.create_task(consume(run, []))
        await wait_for_changes(sandbox, 4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert others() == set()
        done = [pair for pair in PAIRS if sandbox.world.removals(*pair)]
    with closing(SqliteDatabase(tmp_path / "ledger.sqlite")) as ledger:
        assert {(each.room_id, each.user_id) for each in ledger.results() if each.outcome is Outcome.REMOVED} == {*done}
        told = Counter((each.outcome, each.reason) for each in ledger.results())
    assert told == {(Outcome.REMOVED, ""): len(done), (Outcome.NOT_ATTEMPTED, "interrupted"): 200 - len(done)}


def once_more(task: asyncio.Task[None]) -> None:
    """Cancel a task a second time."""
    task.cancel()


def every_turn(task: asyncio.Task[None]) -> None:
    """Cancel a task again in each turn of the loop, as structured concurrency with levels does."""
    if not task.done():
        task.cancel()
        asyncio.get_running_loop().call_soon(every_turn, task)


@pytest.mark.parametrize("again", [once_more, every_turn])
async def test_cancelling_again_ends_at_once(tmp_path: Path, again: Callable[[asyncio.Task[None]], None]) -> None:
    """Calls that hang are given up and told as in doubt; the next call settles them truthfully, each done once."""
    faults = [Fault(Kind.HANG_AFTER, FaultMatch(user=f"user{n:04}")) for n in range(1, 9)]
    async with Sandbox(leader_world(PAIRS[:20]), faults=faults) as sandbox:

        def run() -> AsyncGenerator[Result, None]:
            settings = Settings(rate=None, room_cache=False, shutdown_timeout=600, max_failures=FAST.max_failures)
            return change_roles(PAIRS[:20], **at(sandbox), folder=tmp_path, settings=settings)

        task = asyncio.create_task(consume(run(), []))
        await wait_for_changes(sandbox, 1 + 8)  # the second goes alone: its answer tells whether there is a limit
        task.cancel()
        await asyncio.sleep(0)
        again(task)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert others() == set()
        with closing(SqliteDatabase(tmp_path / "ledger.sqlite")) as ledger:
            assert Counter(each.outcome for each in ledger.results()) == {
                Outcome.REMOVED: 1,
                Outcome.UNKNOWN: 8,
                Outcome.NOT_ATTEMPTED: 11,
            }
            assert ledger.sessions()[-1].stop == "interrupted"
        results: list[Result] = []
        await consume(run(), results)
        assert all(sandbox.world.removals(*pair) == 1 for pair in PAIRS[:20])
    assert Counter((each.outcome, each.reason, each.evidence) for each in results) == {
        (Outcome.REMOVED, "", Evidence.MESSAGE): 8,
        (Outcome.REMOVED, "", Evidence.RESPONSE): 12,
    }


async def test_the_grace_ends(tmp_path: Path) -> None:
    """A call that stays silent is awaited for `grace` seconds and no longer; its row is told as unknown for ever."""
    async with Sandbox(leader_world(PAIRS), faults=[Fault(Kind.HANG_AFTER, FaultMatch(user="user0003"))]) as sandbox:
        run = change_roles(PAIRS, **at(sandbox), folder=tmp_path, settings=HASTY)
        await first(run, 3)
    with closing(SqliteDatabase(tmp_path / "ledger.sqlite")) as ledger:
        in_doubt = [each for each in ledger.results() if each.outcome is Outcome.UNKNOWN]
    assert [(each.user_id, each.reason) for each in in_doubt] == [("user0003", "cancelled_in_flight")]


async def test_a_slow_program_is_not_overrun() -> None:
    """While the program holds one result, at most 64 rows beyond it are worked on, however long it takes."""
    async with Sandbox(leader_world(PAIRS)) as sandbox:
        run = change_roles(PAIRS, **at(sandbox), settings=FAST)
        async with aclosing(run):
            await anext(run)
            await wait_for_changes(sandbox, 64)
            world = leader_world(many(100, rooms=20))
            async with Sandbox(world) as meanwhile:  # time enough for the first run to go on, if it did
                async for _ in change_roles(many(100), **at(meanwhile), settings=FAST):
                    pass
            assert len(changing_calls(sandbox.world)) == 64
            assert len([each async for each in run]) == 199


class Brake:
    """Holds back each commit of an outcome until it is let go, or makes it fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        self.held = threading.Event()
        self.failure: StoreError | None = None
        commit = SqliteDatabase.commit

        def held_back(ledger: SqliteDatabase, batch: Batch) -> None:
            if batch.outcomes:
                self.held.set()
                assert self.free.wait(30)
                if self.failure is not None:
                    raise self.failure
            commit(ledger, batch)

        monkeypatch.setattr(SqliteDatabase, "commit", held_back)


async def test_no_result_before_it_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the commit of an outcome waits for the disk its result is not told, although the deed is long done."""
    brake = Brake(monkeypatch)
    async with Sandbox(leader_world(PAIRS)) as sandbox:
        run = change_roles(PAIRS, **at(sandbox), folder=tmp_path, settings=FAST)
        async with aclosing(run):
            waiting = asyncio.ensure_future(anext(run))
            assert await asyncio.to_thread(brake.held.wait, 30)
            assert sandbox.world.removals(*PAIRS[0]) == 1
            for _ in range(1000):
                await asyncio.sleep(0)
            assert not waiting.done()
            brake.free.set()
            result = await waiting
            assert result.outcome is Outcome.REMOVED
            with closing(SqliteDatabase(tmp_path / "ledger.sqlite")) as ledger:
                assert recorded(ledger, result) is Outcome.REMOVED
                async for each in run:
                    assert recorded(ledger, each) is each.outcome


@pytest.mark.parametrize("recovers", [True, False])
async def test_an_outcome_that_cannot_be_written_is_never_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recovers: bool
) -> None:
    """Where the disk fails, rows that were carried out are told as unknown, then why it stopped.

    The same where not even the session's end can be written.
    """
    brake = Brake(monkeypatch)

    def fail(ledger: SqliteDatabase, stop: str, at: int) -> None:
        raise StoreError("The disk is full.")

    if not recovers:
        monkeypatch.setattr(SqliteDatabase, "close_session", fail)
    brake.failure = StoreError("The disk is full.")
    brake.free.set()
    async with Sandbox(leader_world(PAIRS)) as sandbox:
        results: list[Result] = []
        with pytest.raises(RunStopped, match="full") as stopped:
            await consume(change_roles(PAIRS, **at(sandbox), folder=tmp_path, settings=FAST), results)
        done = {pair for pair in PAIRS if sandbox.world.removals(*pair)}
    assert stopped.value.reason is StopReason.STORE
    assert len(results) == 200
    assert done
    assert {(each.room_id, each.user_id) for each in results if each.outcome is Outcome.UNKNOWN} >= done
    assert {each.outcome for each in results} == {Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED}
    assert {each.reason for each in results if each.outcome is Outcome.NOT_ATTEMPTED} == {"store"}
