"""The functions of the library beside single runs: limits, offboarding, examination, comparison."""

from pathlib import Path

import pytest

from rolecall import (
    ConnectionConfig,
    Credentials,
    OperatorError,
    RemovalLimits,
    RemovalThreshold,
    Role,
    Settings,
    change_roles,
    compare,
    examine,
    offboard,
)
from rolecall.sandbox import ACCOUNT, Sandbox, leader_world
from tests.support.organisation import changes

LEADERS = [("room1", "user1"), ("room1", "user2"), ("room2", "user1")]
SETTINGS = Settings(rate=None)
WHO = Credentials(ACCOUNT.user_id, ACCOUNT.token)


async def test_limits_refuse_a_run_before_its_first_change(tmp_path: Path) -> None:
    """`change_roles` raises OperatorError with the figures, sends nothing, and leaves no run in the folder."""
    world = leader_world(LEADERS)
    async with Sandbox(world) as sandbox:
        where = ConnectionConfig(sandbox.url)
        limits = RemovalLimits(in_all=RemovalThreshold.parse("1"))
        with pytest.raises(OperatorError, match="it takes 2 of 2 leaders"):
            async for _ in change_roles(
                LEADERS[:2], connection=where, credentials=WHO, settings=SETTINGS, limits=limits, folder=tmp_path / "r"
            ):
                pass
        assert changes(world) == []
        done = [
            row.outcome
            async for row in change_roles(
                [LEADERS[2]], connection=where, credentials=WHO, settings=SETTINGS, limits=limits, folder=tmp_path / "r"
            )
        ]
    assert done == ["removed"]


async def test_people_are_offboarded_and_runs_compared(tmp_path: Path) -> None:
    """`offboard` takes the roles of people and names those who are missing; two nights compare pair by pair."""
    world = leader_world(LEADERS)
    async with Sandbox(world) as sandbox:
        where = ConnectionConfig(sandbox.url)
        result = await offboard(
            ["user1", "@unknown"],
            connection=where,
            credentials=WHO,
            folder=tmp_path / "night",
            roles=[Role.LEADER],
            kinds=["groups"],
            settings=SETTINGS,
        )
        findings = [finding async for finding in examine(connection=where, credentials=WHO)]
    assert [person.word for person in result.missing] == ["@unknown"]
    assert result.has_failures
    assert not world.is_leader("room1", "user1")
    assert world.is_leader("room1", "user2")
    assert {finding.status for finding in findings} == {"ok"}
    run = tmp_path / "night/groups.removeLeader"
    same = await compare(run, run)
    assert (same.same, same.differing) == (2, 0)
