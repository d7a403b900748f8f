"""Least privilege: each command works for a user with its group role alone, over TCP with a password."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rolecall.sandbox import Sandbox, leader_world
from tests.support.cluster import Cluster, open_cluster
from tests.support.command import Ended, rolecall, write_job
from tests.support.postgres import shared_server

PAIRS = [(f"room{number // 10}", f"user{number}") for number in range(40)]

pytestmark = pytest.mark.e2e


class Office:
    """Runs commands as users with one group role each."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.job = write_job(cluster.folder / "job.csv", PAIRS)
        self.file = cluster.workspaces_file()

    def url(self, *roles: str) -> str:
        """Create a user with these roles and return the address of the database for it."""
        user, database = "office_" + "_".join(roles), self.cluster.database
        granted = ", ".join(f"rolecall_{role}" for role in roles)
        database.execute(
            f"DROP ROLE IF EXISTS {user}; CREATE ROLE {user} LOGIN PASSWORD 'x'; GRANT {granted} TO {user}"
        )
        return database.server.tcp_url(database.name, user, "x")

    async def __call__(self, role: str, *words: str | Path) -> Ended:
        """Run a command as a user with a role."""
        more = {"ROLECALL_WORKSPACES": str(self.file), "ROLECALL_YES": "1", "ROLECALL_MAX_REMOVALS": "100%"}
        env = self.cluster.environment(**more, ROLECALL_DATABASE_URL=self.url(role))
        return await rolecall(*words, cwd=self.cluster.folder, env=env)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """Return a database and a workspace with a leader in each pair of the job."""
    async with (
        Sandbox(leader_world(PAIRS), latency=0.005) as sandbox,
        open_cluster(shared_server().initialised_database(), sandbox.url, tmp_path) as cluster,
    ):
        yield Office(cluster)


async def test_each_role_is_enough_for_its_commands(office: Office) -> None:
    """One submits, one works, one reads; the run ends with every row removed, and no user can do the other's work."""
    worker = await office.cluster.start_worker("one", environ={"ROLECALL_DATABASE_URL": office.url("worker")})
    submitted = await office("submit", "submit", office.job, "--shard-rows", "10", "--rate", "unlimited", "--wait")
    assert submitted.code == 0, submitted.stderr + worker.log
    run = submitted.stdout.splitlines()[-1]
    shown = await office("report", "runs", "show", run, "--json")
    assert json.loads(shown.stdout)["outcomes"]["removed"] == 40, shown.stdout + shown.stderr
    for words in (["runs"], ["workers"], ["database", "check"], ["runs", "report", run, "--out", "there"]):
        read = await office("report", *words)
        assert (read.code, read.stderr.count("permission denied")) == (0, 0), read.stderr
    undone = await office("submit", "runs", "undo", run, "--wait")
    assert undone.code == 0, undone.stderr
    stopped = await office("submit", "runs", "stop", run)
    assert "permission denied" not in stopped.stderr
    pruned = await office("submit", "database", "prune", "--older-than", "1d", "--yes")
    assert pruned.code == 0, pruned.stderr
    assert "permission denied" not in worker.log


@pytest.mark.parametrize(
    ("role", "words", "needed"),
    [
        ("report", ("runs", "stop", "1"), "GRANT rolecall_submit TO office_report"),
        ("report", ("submit", "job.csv"), "GRANT rolecall_submit TO office_report"),
        ("worker", ("submit", "job.csv"), "GRANT rolecall_submit TO office_worker"),
        ("worker", ("database", "init"), "the owner of the database must do it"),
        ("submit", ("database", "upgrade"), "the owner of the database must do it"),
        ("report", ("worker", "--egress", "x"), "GRANT rolecall_worker TO office_report"),
    ],
)
async def test_a_missing_role_is_named(office: Office, role: str, words: tuple[str, ...], needed: str) -> None:
    """A command without the right that it needs says what to grant, and ends before it changes anything."""
    office.cluster.database.execute(
        f"INSERT INTO workspace (name, url) VALUES ('main', '{office.cluster.url}');"
        "INSERT INTO run (workspace, created_at, is_released) VALUES ('main', 1, true)"
    )
    ended = await office(role, *words)
    assert ended.code in (2, 4), ended.stdout
    assert needed in ended.stderr
    assert re.search("permits too little|permission denied|must be owner", ended.stderr)
