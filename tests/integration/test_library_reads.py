"""The library beside `change_roles`: check, verify, undo, find and write_reports on a sandbox, without the command."""

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rolecall import (
    ConnectionConfig,
    Credentials,
    FindQuery,
    InvalidStoreError,
    OperatorError,
    Outcome,
    Role,
    RunStopped,
    StopReason,
    VerifyStatus,
    change_roles,
    check,
    find,
    undo,
    verify,
    write_reports,
)
from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, Kind, Sandbox, World, leader_world
from tests.support.command import many
from tests.support.library import FAST, at
from tests.support.truth import changing_calls

PAIRS = many(20)
NOT_LEADER = ("room0", "member")


def world_with_reads() -> World:
    """Return a world whose account may read the rooms of others, with one member who leads nothing."""
    world = leader_world(PAIRS)
    world.add_user(NOT_LEADER[1])
    world.join(*NOT_LEADER)
    for permission in ("view-full-other-user-info", "view-other-user-channels", "view-room-administration"):
        world.grant(permission, "user")
    return world


async def run(sandbox: Sandbox, folder: Path, pairs: list[tuple[str, str]]) -> Counter[Outcome]:
    """Run the pairs to their end."""
    return Counter([row.outcome async for row in change_roles(pairs, **at(sandbox), folder=folder, settings=FAST)])


@pytest.mark.parametrize("in_folder", [False, True])
async def test_a_check_predicts_each_row_and_changes_nothing(tmp_path: Path, in_folder: bool) -> None:
    """Each row comes in its order with its predicted outcome; with a folder there is a report too."""
    world = world_with_reads()
    rows = [*PAIRS[:3], NOT_LEADER, PAIRS[0], ("", "nobody")]
    async with Sandbox(world) as sandbox:
        folder = tmp_path if in_folder else None
        predicted = [row async for row in check(rows, **at(sandbox), folder=folder, settings=FAST)]
    assert [row.line for row in predicted] == [1, 2, 3, 4, 5, 6]
    assert [row.outcome.value for row in predicted] == [
        "would_remove", "would_remove", "would_remove", "not_leader", "duplicate", "invalid",
    ]  # fmt: skip
    assert not changing_calls(world)
    assert (tmp_path / "report.csv").exists() is in_folder
    assert not (tmp_path / "report.html").exists()


async def test_a_check_that_is_stopped_says_why(tmp_path: Path) -> None:
    """A token that is revoked while it reads ends it with RunStopped; with another one the same call continues."""
    world = world_with_reads()
    world.add_account("secondBot", "second-token", username="second.bot", roles=("user", "admin"))
    async with Sandbox(world, faults=[Fault(Kind.REVOKE, FaultMatch(route="groups.roles", nth=2))]) as sandbox:
        one = replace(FAST, concurrency=1)
        with pytest.raises(RunStopped) as stopped:
            [row async for row in check(PAIRS, **at(sandbox), folder=tmp_path, settings=one)]
        where, who = ConnectionConfig(sandbox.url), Credentials("secondBot", "second-token")
        again = check(PAIRS, connection=where, credentials=who, folder=tmp_path, settings=FAST)
        assert Counter([row.outcome async for row in again]).total() == len(PAIRS)
    assert stopped.value.reason is StopReason.CREDENTIALS


async def test_a_run_is_verified_and_undone(tmp_path: Path) -> None:
    """What somebody gave back differs; the undo restores every role; a second undo is refused."""
    world = world_with_reads()
    async with Sandbox(world) as sandbox:
        assert await run(sandbox, tmp_path, PAIRS) == {Outcome.REMOVED: 20}
        as_reported = await verify(tmp_path, **at(sandbox), settings=FAST)
        world.join(*PAIRS[0], ["leader"])
        changed = await verify(tmp_path, **at(sandbox), settings=FAST)
        restored = [row async for row in undo(tmp_path, **at(sandbox), settings=FAST)]
        with pytest.raises(OperatorError, match="undone already"):
            [row async for row in undo(tmp_path, **at(sandbox), settings=FAST)]
    assert (as_reported.found, as_reported.differing, as_reported.undo) == ({VerifyStatus.AGREES: 20}, 0, None)
    assert (changed.differing, changed.first[0].pair.user_id) == (1, PAIRS[0][1])
    assert changed.rows_file.read_text().count("\n") == 2
    assert Counter(row.outcome for row in restored) == {Outcome.ADDED: 19, Outcome.ALREADY_LEADER: 1}
    assert set(PAIRS) <= world.pairs_with_role("leader")


async def test_what_was_found_is_a_job(tmp_path: Path) -> None:
    """Assignments are counted, exclusions leave rows out, gaps are values; the rest is a job for `change_roles`."""
    world = world_with_reads()
    async with Sandbox(world) as sandbox:
        query = FindQuery(Role.LEADER, people=(PAIRS[0][1], PAIRS[1][1], "nobody"))
        found = await find(query, **at(sandbox), exclude=[PAIRS[1][1]], settings=FAST)
        rows = [(each.room_id, each.user_id) for each in found.assignments]
        assert await run(sandbox, tmp_path, rows) == {Outcome.REMOVED: 1}
        with pytest.raises(OperatorError, match="give an id or a name"):
            await find(query, **at(sandbox), exclude=[""])
    assert rows == [PAIRS[0]]
    assert (found.result.rows, found.result.excluded, found.result.stop) == (1, 1, None)
    assert {reason: names.first for reason, names in found.result.gaps.items()} == {"user_not_found": ["nobody"]}


async def test_a_search_with_a_refused_token_says_so() -> None:
    """Credentials that are revoked while it reads end it with RunStopped, without their token in its text."""
    world = world_with_reads()
    revoked = Fault(Kind.REVOKE, FaultMatch(route="users.info"))
    async with Sandbox(world, faults=[revoked]) as sandbox:
        with pytest.raises(RunStopped) as stopped:
            await find(FindQuery(people=(PAIRS[0][1],)), **at(sandbox), settings=FAST)
    assert stopped.value.reason is StopReason.CREDENTIALS
    assert ACCOUNT.token not in str(stopped.value)


async def test_reports_are_written_from_the_store(tmp_path: Path) -> None:
    """A run of the library has no reports until they are written; a folder without a run is refused."""
    async with Sandbox(world_with_reads()) as sandbox:
        await run(sandbox, tmp_path / "run", PAIRS)
    assert not (tmp_path / "run/report.csv").exists()
    summary = await write_reports(tmp_path / "run", formats=["jsonl"])
    assert (summary.has_failures, summary.is_unfinished) == (False, False)
    with (tmp_path / "run/report.csv").open(newline="") as file:
        assert Counter(row["outcome"] for row in csv.DictReader(file)) == {"removed": 20}
    assert (tmp_path / "run/report.jsonl").read_text().count("\n") == 20
    with pytest.raises(InvalidStoreError, match="contains no run"):
        await write_reports(tmp_path)
