"""The library over a real socket and a real ledger: one true result for each row, however the workspace answers."""

import asyncio
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from rolecall import (
    FailureThreshold,
    Outcome,
    Result,
    Row,
    RunStopped,
    Settings,
    StopReason,
    change_roles,
    write_reports,
)
from rolecall.models import Evidence, Json
from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, Kind, Limiter, Sandbox, leader_world
from tests.support.command import environment, many, outcomes, read_report, rolecall
from tests.support.library import FAST, at


async def test_one_result_for_each_row() -> None:
    """Pairs, mappings and Rows from an async generator; invalid and duplicate rows come first, the others follow."""
    pairs = many(40)

    async def rows() -> AsyncIterator[tuple[str, str] | dict[str, Json] | Row]:
        for place, (room, user) in enumerate(pairs, start=1):
            await asyncio.sleep(0)
            yield {"roomId": room, "userId": user, "ticket": place} if place % 2 else (room, user)
        yield Row(99, "room0", "stranger", {"note": "who?"})
        yield "", "user"
        yield pairs[3]

    async with Sandbox(leader_world(pairs)) as sandbox:
        results = [each async for each in change_roles(rows(), **at(sandbox), settings=FAST)]
        assert all(sandbox.world.removals(*pair) == 1 for pair in pairs)
    assert [(each.line, each.outcome) for each in results[:2]] == [(42, Outcome.INVALID), (43, Outcome.DUPLICATE)]
    assert results[1].message == "the same pair stands in line 4"
    by_line = {each.line: each for each in results[2:]}
    assert sorted(line or 0 for line in by_line) == [*range(1, 41), 99]
    assert {by_line[line].outcome for line in range(1, 41)} == {Outcome.REMOVED}
    assert (by_line[99].outcome, by_line[99].reason) == (Outcome.FAILED, "user_not_found")
    assert [dict(by_line[line].extra) for line in (1, 2, 99)] == [{"ticket": 1}, {}, {"note": "who?"}]


async def test_no_rows_need_no_workspace() -> None:
    """An empty iterable gives no result and makes no call."""
    async with Sandbox(leader_world([])) as sandbox:
        assert [each async for each in change_roles([], **at(sandbox))] == []
        assert sandbox.world.calls == []


async def test_a_lost_answer_is_settled_by_another_attempt() -> None:
    """Where the answer was dropped after the deed, the result says so, and the deed was done once."""
    pairs = many(6)
    faults = [
        Fault(Kind.DROP_AFTER, FaultMatch(user="user0003")),
        Fault(Kind.TOO_MANY, FaultMatch(user="user0005"), seconds=0.05),
    ]
    async with Sandbox(leader_world(pairs), faults=faults) as sandbox:
        results = [each async for each in change_roles(pairs, **at(sandbox), settings=FAST)]
        assert all(sandbox.world.removals(*pair) == 1 for pair in pairs)
    assert {each.outcome for each in results} == {Outcome.REMOVED}
    assert [each.line for each in results if each.evidence == Evidence.MESSAGE] == [4]


async def test_another_operation() -> None:
    """The twins are there by their names, and what they did is told in their words."""
    pairs = many(3)
    async with Sandbox(leader_world(pairs)) as sandbox:
        run = change_roles(pairs, **at(sandbox), operation="groups.addModerator", settings=FAST)
        assert {each.outcome async for each in run} == {Outcome.ADDED}
        with pytest.raises(ValueError, match=r"no operation; there are groups\.removeLeader"):
            await anext(change_roles(pairs, **at(sandbox), operation="groups.drop"))  # type: ignore[arg-type]


async def until_stopped(run: AsyncIterator[Result]) -> tuple[list[Result], RunStopped]:
    """Take every result of a run that is stopped, and what it raises in the end."""
    results: list[Result] = []
    with pytest.raises(RunStopped) as stopped:  # noqa: PT012 # the results come first
        async for each in run:
            results.append(each)  # noqa: PERF401 # they are wanted although it raises
    return results, stopped.value


@pytest.mark.parametrize("folder", [True, False])
async def test_why_it_stopped_comes_after_a_result_for_every_row(tmp_path: Path, folder: bool) -> None:
    """A token that is revoked in the middle: each row is told once, the rest as not attempted, then it raises."""
    pairs = many(50)
    faults = [Fault(Kind.REVOKE, FaultMatch(nth=20))]
    async with Sandbox(leader_world(pairs), faults=faults) as sandbox:
        where = tmp_path if folder else None
        run = change_roles(pairs, **at(sandbox), folder=where, settings=FAST)
        results, stopped = await until_stopped(run)
        removed = sum(sandbox.world.removals(*pair) for pair in pairs)
    assert stopped.reason is StopReason.CREDENTIALS
    assert str(stopped).startswith("The run stopped (credentials): ")
    assert sorted(each.line or 0 for each in results) == list(range(1, 51))
    told = Counter((each.outcome, each.reason) for each in results)
    assert told == {(Outcome.REMOVED, ""): removed, (Outcome.NOT_ATTEMPTED, "credentials"): 50 - removed}
    assert 0 < removed < 50


async def test_a_row_told_as_unknown_is_not_told_again_at_the_end() -> None:
    """A row without a trustworthy answer stays due, but a run that is stopped later tells it only once."""
    pairs = many(50)
    faults = [Fault(Kind.GARBAGE, FaultMatch(user="user0003"), times=None), Fault(Kind.REVOKE, FaultMatch(nth=30))]
    async with Sandbox(leader_world(pairs), faults=faults) as sandbox:
        results, _ = await until_stopped(change_roles(pairs, **at(sandbox), settings=FAST))
    assert [each.outcome for each in results if each.line == 4] == [Outcome.UNKNOWN]
    assert sorted(each.line or 0 for each in results) == list(range(1, 51))


@pytest.mark.parametrize("has_new", [False, True])
async def test_a_row_in_doubt_that_left_the_rows_is_settled(tmp_path: Path, has_new: bool) -> None:
    """A row that the program no longer gives is not sent again; the report has what was read of it."""
    pairs = many(4)
    lost = FaultMatch(user=pairs[3][1], route="groups.removeLeader")
    once = replace(FAST, max_attempts=1, read_roles=False)
    async with Sandbox(leader_world(pairs), faults=[Fault(Kind.DROP_AFTER, lost)]) as sandbox:
        first = [each async for each in change_roles(pairs, **at(sandbox), settings=once, folder=tmp_path / "run")]
        assert [each.outcome for each in first if each.user_id == pairs[3][1]] == [Outcome.UNKNOWN]
        rows = [*pairs[:3], *[("room0", "user9999")] * has_new]
        again = [each async for each in change_roles(rows, **at(sandbox), settings=FAST, folder=tmp_path / "run")]
        assert len(sandbox.world.calls_for(*pairs[3])) == 1
    assert {(each.room_id, each.user_id) for each in again} == set(rows)
    await write_reports(tmp_path / "run")
    last = read_report(tmp_path / "run")[-1]
    assert (last["line"], last["userId"], last["outcome"]) == ("", pairs[3][1], "removed")


async def test_a_threshold_stops_it() -> None:
    """Too many failures raise too, after the last result."""
    pairs = many(30, rooms=30)
    async with Sandbox(leader_world([])) as sandbox:
        settings = Settings(rate=None, concurrency=1, max_failures=FailureThreshold(4, is_percent=False))
        results, stopped = await until_stopped(change_roles(pairs, **at(sandbox), settings=settings))
    assert stopped.reason is StopReason.MAX_FAILURES
    assert Counter(each.outcome for each in results) == {Outcome.FAILED: 5, Outcome.NOT_ATTEMPTED: 25}


async def test_two_runs_at_once_in_one_loop(tmp_path: Path) -> None:
    """Runs share nothing but the loop: each has its own rows, folder and end."""
    pairs = many(60)
    async with Sandbox(leader_world(pairs)) as sandbox:

        async def one(part: list[tuple[str, str]], name: str) -> list[Result]:
            run = change_roles(part, **at(sandbox), folder=tmp_path / name, settings=FAST)
            return [each async for each in run]

        both = await asyncio.gather(one(pairs[:30], "one"), one(pairs[30:], "two"))
        assert all(sandbox.world.removals(*pair) == 1 for pair in pairs)
    for part, results in zip((pairs[:30], pairs[30:]), both, strict=True):
        assert sorted((each.room_id, each.user_id) for each in results) == sorted(part)


async def test_the_servers_window_is_kept() -> None:
    """A limited account is held to the window as by the command, without a single refusal."""
    pairs = many(12)
    async with Sandbox(leader_world(pairs, roles=("user",)), limiter=Limiter(calls=5, seconds=1.0)) as sandbox:
        patient = Settings(rate=None)  # a window that lasts beyond the patience for outages is not believed
        results = [each async for each in change_roles(pairs, **at(sandbox), settings=patient)]
        assert 429 not in {call.status for call in sandbox.world.calls}
    assert {each.outcome for each in results} == {Outcome.REMOVED}


async def test_the_log_is_told_what_the_command_logs() -> None:
    """Any logger of structlog's kind takes the events; the token is in none of them."""
    pairs = many(3)
    logger = CapturingLogger()

    class Log:
        """Hands on to a capturing logger, whose `bind` would only be captured too."""

        def bind(self, **values: object) -> "Log":
            return self

        def info(self, event: str, **values: object) -> None:
            logger.info(event, **values)

        def warning(self, event: str, **values: object) -> None:
            logger.warning(event, **values)

    async with Sandbox(leader_world(pairs[:2])) as sandbox:
        run = change_roles(pairs, **at(sandbox), settings=FAST, log=Log())
        assert len([each async for each in run]) == 3
    assert [call.args[0] for call in logger.calls] == ["run started", "row failed", "run ended"]
    assert ACCOUNT.token not in str(logger.calls)


async def test_its_folder_is_the_commands(tmp_path: Path) -> None:
    """`rolecall report` writes the reports of a run that a program made, and the library goes on in it."""
    pairs = many(5)
    async with Sandbox(leader_world(pairs)) as sandbox:
        run = change_roles(pairs[:4], **at(sandbox), folder=str(tmp_path / "run"), settings=FAST)
        assert len([each async for each in run]) == 4
        ended = await rolecall("report", "run", cwd=tmp_path, env=environment(sandbox.url))
        assert ended.code == 0, ended.stderr
        assert outcomes(tmp_path / "run") == {("removed", ""): 4}
        again = change_roles(pairs, **at(sandbox), folder=tmp_path / "run", settings=FAST)
        assert len([each async for each in again]) == 5
        assert all(sandbox.world.removals(*pair) == 1 for pair in pairs)
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


async def peak(rows: int) -> int:
    """Give the bytes that a run of so many rows takes at most; one call tells them all, so that it is quick."""
    async with Sandbox(leader_world([])) as sandbox:
        run = change_roles((("nowhere", f"user{n:06}") for n in range(rows)), **at(sandbox), settings=FAST)
        told = 0
        tracemalloc.start()
        try:
            async with aclosing(run):
                async for each in run:
                    told += each.outcome is Outcome.FAILED
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert told == rows
    return most


async def test_memory_does_not_grow_with_the_rows() -> None:
    """Ten times the rows take about the same memory: the results alone would take several times as much."""
    await peak(1_000)  # what is loaded on the way is not the rows'
    few, ten_times = await peak(1_000), await peak(10_000)
    assert ten_times < 2 * few, (few, ten_times)
