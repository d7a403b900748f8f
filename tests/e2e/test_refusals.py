"""What a newcomer gets wrong: one clear line, the right exit code, nothing sent, never a traceback."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from rolecall.sandbox import ACCOUNT, EVERY_ROUTE, Fault, FaultMatch, Kind, Sandbox, ServerAddress, leader_world
from tests.support.command import ROLECALL, Ended, environment, rolecall, write_job

PAIRS = [("room", "user")]


def assert_one_line(ended: Ended, code: int, *words: str) -> None:
    """Check that a command was refused as it should be."""
    assert ended.code == code, ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    for word in words:
        assert word in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["job.csv", "no such file"]),
        (b"", ["job.csv", "empty"]),
        (b"roomId,userId\n", ["job.csv", "no rows"]),
        (b"room,name\na,b\n", ["job.csv", "roomId"]),
        (b"\x00\x01\x02", ["job.csv", "NUL"]),
        (b'[{"roomId": "a", "userId": "b"}', ["job.csv"]),
        (b'{"roomId": ', ["job.csv"]),
        (b"\x1f\x8b\x08\x00broken", ["job.csv", "gzip"]),
        (b"roomId,userId\na,\xff\xfe\n", ["job.csv", "line 2"]),
    ],
)
async def test_unusable_job_files(tmp_path: Path, content: bytes | None, words: list[str]) -> None:
    """A file that cannot be used is refused with its name and place, and nothing is left behind."""
    if content is not None:
        (tmp_path / "job.csv").write_bytes(content)
    world = leader_world(PAIRS)
    async with Sandbox(world) as sandbox:
        ended = await rolecall("run", "job.csv", cwd=tmp_path, env=environment(sandbox.url))
    assert_one_line(ended, 2, *words)
    assert world.calls == []
    assert not list(tmp_path.glob("runs/*/*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rate", "fast"], "not a rate"),
        (["--rate", "0/s"], "not a rate"),
        (["--concurrency", "0"], "--concurrency"),
        (["--max-failures", "150%"], "not a threshold"),
        (["--no-such-flag"], "--no-such-flag"),
        (["--token", "secret"], "--token"),
        (["--report-format", "xml"], "xml"),
        (["--ca-file", "missing.pem"], "missing.pem"),
        (["--ca-file", "job.csv"], "PEM"),
        (["--out", "job.csv"], "job.csv"),
        (["--out", "/proc/nowhere"], "/proc/nowhere"),
    ],
)
async def test_bad_flags(tmp_path: Path, words: list[str], said: str) -> None:
    """A flag that cannot be used is named, and nothing is sent."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    world = leader_world(PAIRS)
    async with Sandbox(world) as sandbox:
        ended = await rolecall("run", job, *words, cwd=tmp_path, env=environment(sandbox.url))
    assert_one_line(ended, 2, said)
    assert world.calls == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ROCKETCHAT_URL": ""}, "ROCKETCHAT_URL is not set"),
        ({"ROCKETCHAT_AUTH_TOKEN": ""}, "ROCKETCHAT_AUTH_TOKEN"),
        ({"ROCKETCHAT_USER_ID": "", "ROCKETCHAT_AUTH_TOKEN": ""}, "ROCKETCHAT_USER_ID and ROCKETCHAT_AUTH_TOKEN"),
        ({"ROCKETCHAT_AUTH_TOKEN": "", "ROCKETCHAT_AUTH_TOKEN_FILE": "gone"}, "gone"),
        ({"ROCKETCHAT_AUTH_TOKEN": "two words"}, "ROCKETCHAT_AUTH_TOKEN"),
        ({"ROCKETCHAT_URL": "chat.example.org"}, "not an address"),
        ({"ROCKETCHAT_URL": "ftp://chat.example.org"}, "not an address"),
        ({"ROCKETCHAT_URL": "http://chat.example.org"}, "--allow-http"),
        ({"ROCKETCHAT_URL": "https://me:pw@chat.example.org"}, "user or password"),
        ({"ROCKETCHAT_URL": "http://127.0.0.1:9"}, "Nothing usable answers"),
        ({"ROLECALL_RATE": "soon"}, "not a rate"),
    ],
)
async def test_bad_settings(tmp_path: Path, change: dict[str, str], said: str) -> None:
    """Missing, half or wrong settings are named, by variable."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    ended = await rolecall("run", job, cwd=tmp_path, env=environment("http://127.0.0.1:9", **change))
    assert_one_line(ended, 2, said)
    assert not list(tmp_path.glob("runs/*/*"))


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (Fault(Kind.HTML_200, FaultMatch(route=EVERY_ROUTE)), 2, "not a Rocket.Chat workspace"),
        (Fault(Kind.EMPTY_200, FaultMatch(route=EVERY_ROUTE)), 2, "an empty body"),
        (Fault(Kind.GARBAGE, FaultMatch(route=EVERY_ROUTE)), 2, "not a Rocket.Chat workspace"),
        (Fault(Kind.REDIRECT, FaultMatch(route=EVERY_ROUTE)), 2, "redirects"),
        (Fault(Kind.STATUS, FaultMatch(route=EVERY_ROUTE), status=404, html=True), 2, "404"),
        (Fault(Kind.RESET_BEFORE, FaultMatch(route=EVERY_ROUTE), times=None), 2, "Nothing usable answers"),
        (Fault(Kind.STATUS, FaultMatch(route=EVERY_ROUTE), status=503), 4, "503"),
        (Fault(Kind.REVOKE, FaultMatch(route=EVERY_ROUTE)), 3, "credentials"),
    ],
)
async def test_the_preflight_names_what_it_found(tmp_path: Path, fault: Fault, code: int, said: str) -> None:
    """A wrong address, a login page or a dead token ends the run before the first row, and leaves no folder."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    world = leader_world(PAIRS)
    async with Sandbox(world, faults=[fault]) as sandbox:
        ended = await rolecall("run", job, cwd=tmp_path, env=environment(sandbox.url))
    assert_one_line(ended, code, said)
    assert all(call.route == "me" for call in world.calls)
    assert not list(tmp_path.glob("runs/*/*"))


async def test_a_workspace_under_a_path_is_found(tmp_path: Path) -> None:
    """The API's path is appended to whatever address is given; without its path the address is refused."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    world = leader_world(PAIRS)
    async with Sandbox(world, address=ServerAddress(base_path="/chat")) as sandbox:
        lost = await rolecall("run", job, cwd=tmp_path, env=environment(sandbox.url.removesuffix("/chat")))
        found = await rolecall("run", job, cwd=tmp_path, env=environment(sandbox.url + "/"))
    assert_one_line(lost, 2, "404")
    assert found.code == 0, found.stderr


async def test_an_empty_call_shows_the_verbs(tmp_path: Path) -> None:
    """`rolecall` and `rolecall --help` name every verb."""
    ended = await rolecall("--help", cwd=tmp_path, env={})
    assert ended.code == 0
    for verb in ("run", "report", "demo", "sandbox"):
        assert f"  {verb} " in ended.stdout


@pytest.mark.parametrize("verb", ["demo", "sandbox"])
async def test_a_place_that_cannot_be_used_is_named(verb: str, tmp_path: Path) -> None:
    """A demo's folder that cannot be made, and a sandbox's port that is taken, are told; nothing is left behind."""
    (tmp_path / "file").write_bytes(b"")
    async with Sandbox(leader_world(PAIRS)) as sandbox:
        port = sandbox.url.rpartition(":")[2]
        words = {"demo": ("--out", "file/demo"), "sandbox": ("--port", port)}[verb]
        ended = await rolecall(verb, *words, cwd=tmp_path, env=environment(sandbox.url))
    assert_one_line(ended, 2, {"demo": "name another --out.", "sandbox": "name another --port."}[verb])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


async def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    """A ledger that is somebody else's file is refused and left as it is."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    (tmp_path / "o").mkdir()
    (tmp_path / "o/ledger.sqlite").write_bytes(b"somebody's notes, not a database at all")
    async with Sandbox(leader_world(PAIRS)) as sandbox:
        ended = await rolecall("run", job, "--out", "o", cwd=tmp_path, env=environment(sandbox.url))
    assert_one_line(ended, 2, "ledger.sqlite")
    assert (tmp_path / "o/ledger.sqlite").read_bytes() == b"somebody's notes, not a database at all"


async def test_a_folder_of_another_workspace_is_refused(tmp_path: Path) -> None:
    """A run goes on only against the workspace that it began with."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(leader_world(PAIRS)) as one, Sandbox(leader_world(PAIRS)) as other:
        await rolecall("run", job, "--out", "o", cwd=tmp_path, env=environment(one.url))
        ended = await rolecall("run", job, "--out", "o", cwd=tmp_path, env=environment(other.url))
    assert_one_line(ended, 2, "another workspace")


async def test_a_refused_folder_keeps_a_run_that_sent_nothing(tmp_path: Path) -> None:
    """The ledger of another workspace's run is left as it is, also where that run had no row to send."""
    (tmp_path / "job.csv").write_text("roomId,userId\n,nobody\n")
    async with Sandbox(leader_world(PAIRS)) as one, Sandbox(leader_world(PAIRS)) as other:
        await rolecall("run", "job.csv", "--out", "o", cwd=tmp_path, env=environment(one.url))
        ended = await rolecall("run", "job.csv", "--out", "o", cwd=tmp_path, env=environment(other.url))
    assert_one_line(ended, 2, "another workspace")
    assert (tmp_path / "o/ledger.sqlite").is_file()


async def test_settings_come_from_files_too(tmp_path: Path) -> None:
    """A rolecall.toml and a token file beside it do instead of the environment; a .env adds options."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    world = leader_world(PAIRS)
    async with Sandbox(world) as sandbox:
        (tmp_path / ".env").write_text("ROLECALL_RATE=unlimited\nROLECALL_YES=yes\n")
        (tmp_path / "rolecall.toml").write_text(
            f'[workspace]\nurl = "{sandbox.url}"\nuser_id = "{ACCOUNT.user_id}"\nauth_token_file = "token"\n'
            "[run]\nconcurrency = 2\n"
        )
        (tmp_path / "token").write_text(ACCOUNT.token + "\n")
        (tmp_path / "token").chmod(0o600)
        ended = await rolecall("run", job, cwd=tmp_path, env={"PATH": str(ROLECALL.parent)})
    assert ended.code == 0, ended.stderr
    assert "warning" not in ended.stderr.splitlines()[0]


@pytest.mark.parametrize("words", [("config",), ("template", "csv")])
def test_output_that_cannot_be_written_is_told(words: tuple[str, ...], tmp_path: Path) -> None:
    """What goes to a full disk ends in one line that says so, and not as a defect."""
    env = environment("http://127.0.0.1")
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [ROLECALL, *words], check=False, cwd=tmp_path, env=env, stdout=full, stderr=subprocess.PIPE
        )
    assert ended.returncode == 4
    assert ended.stderr == b"rolecall: a file, or the output, cannot be read or written: No space left on device.\n"


@pytest.mark.parametrize("words", [("run", "job.csv", "--out", "o"), ("verify", "o"), ("report", "o"), ("undo", "o")])
async def test_a_folder_in_which_others_can_write_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Others could replace the reports while they are written: nothing is sent, and the line says what to do."""
    write_job(tmp_path / "job.csv", PAIRS)
    world = leader_world(PAIRS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        ran = await rolecall("run", "job.csv", "--out", "o", cwd=tmp_path, env=env)
        assert ran.code == 0, ran.stderr
        sent = len(world.calls)
        (tmp_path / "o").chmod(0o777)
        ended = await rolecall(*words, cwd=tmp_path, env=env)
    assert ended.code == 2
    assert "other users can write in it" in ended.stderr
    assert "chmod go-w" in ended.stderr
    assert len(world.calls) == sent


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
@pytest.mark.parametrize("planted", ["o", "o/ledger.sqlite", "o/run.lock", "o/run.log.jsonl"])
async def test_what_another_user_planted_is_refused(tmp_path: Path, planted: str) -> None:
    """A folder, store, lock or log of another user is refused by name, and nothing is sent."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    world = leader_world(PAIRS)
    async with Sandbox(world) as sandbox:
        (tmp_path / "o").mkdir()
        if planted != "o":
            (tmp_path / planted).touch()
        os.chown(tmp_path / planted, 54_321, 54_321)
        ended = await rolecall("run", job, "--out", "o", cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code in (2, 4)
    assert planted in ended.stderr
    assert "another user" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert all(call.route == "me" for call in world.calls)


async def test_a_store_with_a_trigger_is_refused(tmp_path: Path) -> None:
    """A store whose trigger would add a pair that is in no job is refused before a row is sent."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    world = leader_world([*PAIRS, ("room", "victim")])
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("check", job, "--out", "made", cwd=tmp_path, env=env)
        (tmp_path / "o").mkdir(0o700)
        shutil.copy(tmp_path / "made/ledger.sqlite", tmp_path / "o/ledger.sqlite")
        with closing(sqlite3.connect(tmp_path / "o/ledger.sqlite")) as database:
            database.executescript(
                "DELETE FROM pair; DELETE FROM meta; CREATE TRIGGER more AFTER INSERT ON pair WHEN new.user_id = 'user'"
                " BEGIN INSERT INTO pair (room_id, user_id, place, line) VALUES ('room', 'victim', 99, 99); END"
            )
        ended = await rolecall("run", job, "--out", "o", cwd=tmp_path, env=env)
    assert_one_line(ended, 2, "ledger.sqlite", "another schema", "trigger more")
    assert ("room", "victim") in world.pairs_with_role("leader")
    assert not any(call.route == "groups.removeLeader" for call in world.calls)


async def test_a_log_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    """A pipe in the place of the log ends the run with one line; it does not wait for a reader."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(leader_world(PAIRS)) as sandbox:
        (tmp_path / "o").mkdir()
        os.mkfifo(tmp_path / "o/run.log.jsonl")
        ended = await rolecall("run", job, "--out", "o", cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code in (2, 4)
    assert "run.log.jsonl" in ended.stderr


@pytest.mark.parametrize(
    "words", [("sandbox", "--port", "0", "--job", "new.csv"), ("template", "csv", "-o", "new.csv")]
)
async def test_no_file_is_created_behind_a_link_to_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A link that another user has placed at the name of a new file would create a file where the link leads."""
    (tmp_path / "new.csv").symlink_to(tmp_path / "elsewhere")
    ended = await rolecall(*words, cwd=tmp_path, env=environment("http://127.0.0.1:9"))
    assert ended.code == 2
    assert "new.csv" in ended.stderr
    assert not (tmp_path / "elsewhere").exists()
