"""The end of a run, posted to a room or to a webhook; and that none of it changes the run."""

import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, Kind, Sandbox, World, leader_world
from tests.e2e.test_refusals import assert_one_line
from tests.support.command import Ended, environment, finish, metrics, outcomes, rolecall, start, write_job
from tests.unit.rocketchat.raw_server import answer, saying, serving

PAIRS = [("room", "user1"), ("room", "user2")]
ONE_LOST = [*PAIRS, ("gone", "user1")]
POSTING = FaultMatch(route="chat.postMessage")
HOOKED = FaultMatch(route="hooks")
SECRET = "hookSecret12345678"


def world_with_posts() -> World:
    """Give a workspace with a public channel, a private one that the account is not in, and a webhook."""
    world = leader_world(PAIRS)
    world.add_room("OPS", name="ops", type="c")
    world.add_room("BOARD", name="board")
    world.add_webhook("hook1", SECRET, "OPS", ACCOUNT.user_id)
    return world


def texts(world: World) -> list[str]:
    """Give what was posted."""
    return [post.text for post in world.record.posts]


def told(ended: Ended) -> str:
    """Give the one line about the message."""
    lines = [line for line in ended.stderr.splitlines() if "notif" in line]
    assert len(lines) == 1, ended.stderr
    return lines[0]


@pytest.mark.parametrize("target", ["#ops", "OPS", "@user1", "user1"])
async def test_a_room_is_told(tmp_path: Path, target: str) -> None:
    """Channel, room id and user get the counts, where it was and where the report lies."""
    world = world_with_posts()
    job = write_job(tmp_path / "job.csv", ONE_LOST)
    async with Sandbox(world) as sandbox:
        words = ("run", job, "--out", "o", "--notify", target)
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 1
    (text,) = texts(world)
    for part in ("some rows need a look", "2 `removed`", "1 `failed`", "1 `room_not_found`", sandbox.url):
        assert part in text
    assert str(tmp_path / "o/report.csv") in text
    assert "notified" in told(ended)


async def test_a_webhook_is_told_and_its_address_stays_secret(tmp_path: Path) -> None:
    """From the environment or a file the message arrives; its address is in no output and no file of the run."""
    world = world_with_posts()
    job = write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(world) as sandbox:
        address = f"{sandbox.url}/hooks/hook1/{SECRET}"
        (tmp_path / "hook").write_text(address + "\n")
        (tmp_path / "hook").chmod(0o600)
        first = await rolecall(
            "run", job, "--out", "o", cwd=tmp_path, env=environment(sandbox.url, ROLECALL_NOTIFY=address)
        )
        words = ("run", job, "--out", "p", "--notify-file", "hook")
        second = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert (first.code, second.code) == (0, 0)
    assert [post.route for post in world.record.posts] == ["hooks", "hooks"]
    for ended in (first, second):
        assert "notified" in told(ended)
        assert SECRET not in ended.stdout + ended.stderr
    for path in (*(tmp_path / "o").iterdir(), *(tmp_path / "p").iterdir()):
        assert SECRET.encode() not in path.read_bytes(), path


async def test_a_webhook_is_never_given_the_token(tmp_path: Path) -> None:
    """Another host's webhook gets the message and neither the token nor the user id."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(world_with_posts()) as sandbox, serving(saying(answer(b'{"success":true}'))) as other:
        env = environment(sandbox.url, ROLECALL_NOTIFY=f"{other.url}/hooks/id/{SECRET}")
        ended = await rolecall("run", job, "--out", "o", cwd=tmp_path, env=env)
    assert ended.code == 0
    assert "notified" in told(ended)
    (request,) = other.requests
    assert b'"text":"*Rolecall has done its job.*' in request
    assert ACCOUNT.token.encode() not in request
    assert b"x-auth-token" not in request.lower()
    assert b"x-user-id" not in request.lower()


@pytest.mark.parametrize(
    "address",
    ["https://chat.example.org/hooks/id/{0}", "chat.example.org/hooks/id/{0}", "http://user:{0}@host/x"],
)
async def test_an_address_on_the_command_line_is_refused(tmp_path: Path, address: str) -> None:
    """A webhook typed as a flag is one line that says where it belongs, and does not say it again."""
    world = world_with_posts()
    job = write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(world) as sandbox:
        words = ("run", job, "--notify", address.format(SECRET))
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert_one_line(ended, 2, "ROLECALL_NOTIFY", "--notify-file")
    assert SECRET not in ended.stderr
    assert world.calls == []


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"ROLECALL_NOTIFY": f"https://chat.example.org/api/{SECRET}"}, "not an incoming webhook"),
        ({"ROLECALL_NOTIFY": f"http://chat.example.org/hooks/{SECRET}"}, "unencrypted"),
        ({"ROLECALL_NOTIFY": "two words"}, "--notify"),
        ({"ROLECALL_NOTIFY_FILE": "empty"}, "is empty"),
        ({"ROLECALL_NOTIFY_FILE": "missing"}, "missing"),
        ({"ROLECALL_METRICS_FILE": "nowhere/x.prom"}, "no folder nowhere"),
        ({"ROLECALL_METRICS_FILE": "."}, "--metrics-file"),
        ({"ROLECALL_NOTIFY_ON": "monday"}, "--notify-on"),
    ],
)
async def test_what_could_not_be_told_is_refused_before_the_run(
    tmp_path: Path, env: Mapping[str, str], said: str
) -> None:
    """A target or a file that cannot be right is one line before anything is sent."""
    world = world_with_posts()
    (tmp_path / "empty").write_text("\n")
    job = write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(world) as sandbox:
        ended = await rolecall("run", job, cwd=tmp_path, env=environment(sandbox.url, **env))
    assert_one_line(ended, 2, said)
    assert SECRET not in ended.stderr
    assert world.calls == []


@pytest.mark.parametrize(
    ("target", "faults", "reason"),
    [
        ("#nowhere", [], "reason=unknown_error status=400 detail=[invalid-channel]"),
        ("BOARD", [], "detail=error-not-allowed"),
        ("#ops", [Fault(Kind.HANG_BEFORE, POSTING)], "reason=timeout"),
        ("#ops", [Fault(Kind.STATUS, POSTING, status=502, html=True)], "reason=proxy_error status=502"),
        ("#ops", [Fault(Kind.HTML_200, POSTING)], "reason=untrusted_answer status=200"),
        ("#ops", [Fault(Kind.RESET_BEFORE, POSTING)], "reason=answer_lost"),
        ("#ops", [Fault(Kind.REVOKE, POSTING)], "reason=unauthorized status=401"),
        ("#ops", [Fault(Kind.TOO_MANY, POSTING, seconds=60)], "reason=rate_limited status=429"),
        ("#ops", [Fault(Kind.TOO_MANY, POSTING, times=None, html=True, retry_after="0")], "reason=rate_limited"),
        ("hook1/wrongToken1234567", [], "target=webhook reason=no_such_route status=404"),
        (f"hook1/{SECRET}", [Fault(Kind.HANG_AFTER, HOOKED)], "target=webhook reason=timeout"),
        (f"hook1/{SECRET}", [Fault(Kind.REDIRECT, HOOKED)], "target=webhook reason=redirected status=302"),
        (f"hook1/{SECRET}", [Fault(Kind.TRUNCATED, HOOKED)], "target=webhook reason=answer_lost"),
    ],
)
async def test_a_failing_message_changes_nothing(tmp_path: Path, target: str, faults: list[Fault], reason: str) -> None:
    """Whatever becomes of the message, exit code and report are the run's own, and one line says what happened."""
    world = world_with_posts()
    job = write_job(tmp_path / "job.csv", ONE_LOST)
    async with Sandbox(world, faults=faults) as sandbox:
        given = f"{sandbox.url}/hooks/{target}" if "/" in target else target
        env = environment(sandbox.url, ROLECALL_NOTIFY=given, ROLECALL_TIMEOUT="0.6", ROLECALL_CONNECT_TIMEOUT="0.4")
        ended = await rolecall("run", job, "--out", "o", cwd=tmp_path, env=env)
    assert ended.code == 1, ended.stderr
    assert outcomes(tmp_path / "o") == {("removed", ""): 2, ("failed", "room_not_found"): 1}
    assert "notification failed" in told(ended)
    assert reason in told(ended)
    for secret in (SECRET, "wrongToken1234567", ACCOUNT.token):
        assert secret not in ended.stdout + ended.stderr + (tmp_path / "o/run.log.jsonl").read_text()


async def test_nothing_listens_at_the_webhook(tmp_path: Path) -> None:
    """A webhook's host that is down is told without its address."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    async with serving(saying()) as gone:
        address = f"{gone.url}/hooks/id/{SECRET}"
    async with Sandbox(world_with_posts()) as sandbox:
        env = environment(sandbox.url, ROLECALL_NOTIFY=address)
        ended = await rolecall("run", job, "--out", "o", cwd=tmp_path, env=env)
    assert ended.code == 0
    assert "target=webhook reason=connect_failed" in told(ended)
    assert SECRET not in ended.stderr


async def test_a_webhook_that_says_its_address_is_not_quoted(tmp_path: Path) -> None:
    """An answer that repeats the address is told by its status alone."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    body = f'{{"success":false,"error":"POST /hooks/id/{SECRET}: no such hook"}}'.encode()
    async with (
        Sandbox(world_with_posts()) as sandbox,
        serving(saying(answer(body, status="404 Not Found"))) as other,
    ):
        env = environment(sandbox.url, ROLECALL_NOTIFY=f"{other.url}/hooks/id/{SECRET}")
        ended = await rolecall("run", job, "--out", "o", cwd=tmp_path, env=env)
    assert ended.code == 0
    assert "target=webhook reason=no_such_route status=404" in told(ended)
    assert SECRET not in ended.stderr + (tmp_path / "o/run.log.jsonl").read_text()


async def test_one_call_too_many_is_tried_once_more(tmp_path: Path) -> None:
    """A 429 that asks for a short wait costs the message nothing, and is never followed by a third attempt."""
    world = world_with_posts()
    job = write_job(tmp_path / "job.csv", PAIRS)
    faults = [Fault(Kind.TOO_MANY, POSTING, html=True, retry_after="0")]
    async with Sandbox(world, faults=faults) as sandbox:
        words = ("run", job, "--out", "o", "--notify", "#ops")
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 0
    assert "notified" in told(ended)
    assert [call.status for call in world.calls if call.route == "chat.postMessage"] == [429, 200]


@pytest.mark.parametrize(("pairs", "posts"), [(PAIRS, 0), (ONE_LOST, 1)])
async def test_only_trouble_is_told_where_that_is_wanted(
    tmp_path: Path, pairs: list[tuple[str, str]], posts: int
) -> None:
    """With `--notify-on failure` a run that ends with 0 is silent."""
    world = world_with_posts()
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world) as sandbox:
        words = ("run", job, "--out", "o", "--notify", "#ops", "--notify-on", "failure")
        await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert len(texts(world)) == posts


async def test_a_stopped_run_is_told_with_its_reason(tmp_path: Path) -> None:
    """Ctrl-C in the middle: the message and the metrics say so, the exit code stays 130."""
    world = world_with_posts()
    pairs = [("room", f"user{number}") for number in range(1, 40)]
    for _, user in pairs:
        world.add_user(user)
        world.join("room", user, ["leader"])
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world) as sandbox:
        words = ("run", job, "--out", "o", "--rate", "20/s", "--notify", "#ops", "--metrics-file", "m.prom")
        process = await start(*words, cwd=tmp_path, env=environment(sandbox.url))
        await sandbox.wait_for_calls(5)
        process.send_signal(signal.SIGINT)
        ended = await finish(process)
    assert ended.code == 130
    (text,) = texts(world)
    assert "Rolecall stopped: the run was interrupted" in text
    assert "`not_attempted`" in text
    found = metrics(tmp_path / "m.prom")
    assert found["rolecall_last_run_exit_code"] == 130
    assert found["not_attempted"] > 0


async def test_a_signal_gives_up_a_message_and_nothing_else(tmp_path: Path) -> None:
    """While a message hangs, a signal ends the command at once with the exit code of the run."""
    world = world_with_posts()
    job = write_job(tmp_path / "job.csv", ONE_LOST)
    async with Sandbox(world, faults=[Fault(Kind.HANG_BEFORE, POSTING)]) as sandbox:
        words = ("run", job, "--out", "o", "--notify", "#ops", "--metrics-file", "m.prom")
        process = await start(*words, cwd=tmp_path, env=environment(sandbox.url))
        while not any(call.route == "chat.postMessage" for call in world.calls):
            await sandbox.wait_for_calls(len(world.calls) + 1)
        process.send_signal(signal.SIGTERM)
        ended = await finish(process)
    assert ended.code == 1
    assert "reason=interrupted" in told(ended)
    assert metrics(tmp_path / "m.prom")["rolecall_last_run_exit_code"] == 1


async def test_a_dry_run_tells_nobody(tmp_path: Path) -> None:
    """A check is no run: a target in the environment does not hinder it, and gets no message."""
    world = world_with_posts()
    job = write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url, ROLECALL_NOTIFY="#ops", ROLECALL_METRICS_FILE="m.prom")
        ended = await rolecall("run", job, "--dry-run", cwd=tmp_path, env=env)
    assert ended.code == 0, ended.stderr
    assert texts(world) == []
    assert not (tmp_path / "m.prom").exists()
