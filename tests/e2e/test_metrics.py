"""The metrics of a run for a monitor; writing them changes nothing about the run."""

from pathlib import Path

from rolecall.sandbox import ACCOUNT, Sandbox, leader_world
from tests.support.command import environment, finish, many, metrics, rolecall, start, write_job
from tests.support.truth import wait_for_changes

PAIRS = [("room", "user1"), ("room", "user2")]
ONE_LOST = [*PAIRS, ("gone", "user1")]


async def test_a_monitor_sees_each_start(tmp_path: Path) -> None:
    """A run, the same again with nothing to do, a dead token and an unusable job each leave their exit code."""
    world = leader_world(PAIRS)
    job = write_job(tmp_path / "job.csv", ONE_LOST)
    path = tmp_path / "m.prom"
    seen = []
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url, ROLECALL_METRICS_FILE="m.prom")
        for words in (("run", job, "--out", "o"), ("run", job, "--out", "o"), ("run", "missing.csv")):
            ended = await rolecall(*words, cwd=tmp_path, env=env)
            seen.append((ended.code, metrics(path)))
        world.revoke(ACCOUNT.token)
        ended = await rolecall("run", job, "--out", "p", cwd=tmp_path, env=env)
        seen.append((ended.code, metrics(path)))
    assert [code for code, _ in seen] == [1, 1, 2, 3]
    assert [found["rolecall_last_run_exit_code"] for _, found in seen] == [1, 1, 2, 3]
    assert [found.get("failed") for _, found in seen] == [1, 1, None, None]
    starts = [found["rolecall_last_run_start_timestamp_seconds"] for _, found in seen]
    assert starts == sorted(starts)
    assert 'job="job.csv"' in path.read_text()
    assert f'workspace="{sandbox.url}"' in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o644


async def test_a_metrics_file_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    """One warning, and the run ends as it would have."""
    job, target = write_job(tmp_path / "job.csv", PAIRS), tmp_path / "m.prom"
    async with Sandbox(leader_world(PAIRS), latency=0.05) as sandbox:
        words = ("run", job, "--out", "o", "--metrics-file", "m.prom")
        run = await start(*words, cwd=tmp_path, env=environment(sandbox.url))
        await wait_for_changes(sandbox, 1)
        target.unlink(missing_ok=True)
        target.mkdir()
        ended = await finish(run)
    assert ended.code == 0, ended.stderr
    assert ended.stderr.count("warning: the metrics could not be written into m.prom") == 1


async def test_metrics_are_not_written_through_a_link(tmp_path: Path) -> None:
    """A symbolic link at the file's name is refused before anything is sent, and what it names is not created."""
    (tmp_path / "m.prom").symlink_to("elsewhere")
    world, job = leader_world(PAIRS), write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(world) as sandbox:
        words = ("run", job, "--out", "o", "--metrics-file", "m.prom")
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert (ended.code, len(ended.stderr.splitlines())) == (2, 1)
    assert world.calls == []
    assert not (tmp_path / "elsewhere").exists()


async def test_a_foreign_file_is_no_place_for_metrics(tmp_path: Path) -> None:
    """A file that no run has written is refused before anything is sent; one of an earlier run is replaced."""
    world, job = leader_world(many(3)), write_job(tmp_path / "job.csv", many(3))
    (tmp_path / "all.prom").write_text("node_load1 0.5\n")
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        refused = await rolecall("run", job, "--metrics-file", "all.prom", cwd=tmp_path, env=env)
        assert world.calls == []
        words = ("run", job, "--yes", "--rate", "unlimited", "--metrics-file", "own.prom")
        twice = [await rolecall(*words, cwd=tmp_path, env=env) for _ in range(2)]
    assert (refused.code, len(refused.stderr.splitlines())) == (2, 1)
    assert (tmp_path / "all.prom").read_text() == "node_load1 0.5\n"
    assert [end.code for end in twice] == [0, 0]
