"""`rolecall explain` as it is installed: every form of input, without credentials."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.test_refusals import assert_one_line
from tests.support.command import ROLECALL, rolecall

ENV = {"PATH": str(ROLECALL.parent)}
REFUSAL = b'{"success":false,"error":"Not allowed [error-not-allowed]"}'


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        (b"HTTP/2 400 \r\ncontent-type: application/json\r\n\r\n" + REFUSAL, [], "not_allowed"),
        (REFUSAL, [], "400; not stored"),
        (REFUSAL, ["--operation", "channels.addOwner"], "channels.addOwner"),
        (b"<h1>Sign in</h1>", ["--status", "200"], "untrusted_answer"),
        (b"<h1>Bad Gateway</h1>", ["--status", "502"], "proxy_error"),
        (b'{"success":false,"error": "x [error-user-not-leader]"}', ["--in-doubt"], "confirmed_on_retry"),
    ],
)
@pytest.mark.parametrize("source", ["file", "-"])
async def test_every_form_is_explained(
    tmp_path: Path, content: bytes, words: list[str], said: str, source: str
) -> None:
    """A raw response and a body alone, from a file or standard input, are explained with exit 0."""
    (tmp_path / "kept").write_bytes(content)
    given, stdin = ("kept", b"") if source == "file" else ("-", content)
    ended = await rolecall("explain", given, *words, cwd=tmp_path, env=ENV, stdin=stdin)
    assert (ended.code, ended.stderr) == (0, "")
    assert said in ended.stdout


async def test_machines_get_one_object(tmp_path: Path) -> None:
    """`--json` prints what the lines say, and no character that a terminal obeys."""
    body = json.dumps({"success": False, "error": "\x1b[31m\u202eevil [error-room-archived]"}).encode()
    ended = await rolecall("explain", "-", "--json", cwd=tmp_path, env=ENV, stdin=body)
    told = json.loads(ended.stdout)
    assert (told["outcome"], told["reason"], told["then"], told["scope"], told["ground"], told["carriedOut"]) == (
        "failed",
        "room_archived",
        "finish",
        "room",
        "brackets",
        "no",
    )
    assert (told["httpStatus"], told["statusAssumed"], told["limits"]) == (400, True, None)
    assert ended.stdout.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        (b"<h1>page</h1>", [], "--status 502"),
        (b"", [], "empty"),
        (b"HTTP/1.1 what\n\n", [], "not a status line"),
        (b"HTTP/1.1 200 OK\n\n{}", ["--status", "400"], "leave out --status"),
        (b"{}", ["--status", "99"], "--status"),
        (b"{}", ["--operation", "groups.destroy"], "groups.destroy"),
    ],
)
async def test_what_cannot_be_explained_is_refused(tmp_path: Path, content: bytes, words: list[str], said: str) -> None:
    """An unusable file or option is one line and exit 2."""
    (tmp_path / "kept").write_bytes(content)
    assert_one_line(await rolecall("explain", "kept", *words, cwd=tmp_path, env=ENV), 2, said)


def test_it_loads_none_of_the_heavy_libraries(tmp_path: Path) -> None:
    """Explaining a response loads no HTTP client, no database, no table drawing: it answers at once."""
    (tmp_path / "kept").write_bytes(REFUSAL)
    program = (
        "import json, sys, rolecall.cli.main as cli\n"
        "assert cli.main(['explain', 'kept']) == 0\n"
        "heavy = ('aiohttp', 'structlog', 'tenacity', 'rich', 'ijson', 'sqlite3', 'uvloop')\n"
        "print(json.dumps([name for name in heavy if name in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


async def test_a_reason_is_explained(tmp_path: Path) -> None:
    """A reason of a report is explained, all are listed without one, and a misspelt one names the closest: exit 2."""
    env = ENV
    one = await rolecall("explain", "room_not_joined", cwd=tmp_path, env=env)
    listed = await rolecall("explain", "--json", cwd=tmp_path, env=env)
    names = await rolecall("explain", cwd=tmp_path, env=env)
    wrong = await rolecall("explain", "room_not_joind", cwd=tmp_path, env=env)
    file = await rolecall("explain", "there/is/no.file", cwd=tmp_path, env=env)
    assert one.code == 0
    assert "Outcome       failed, also for the room's other rows" in one.stdout
    assert "What to do    the group exists, but the account is not a member of it" in one.stdout
    reasons = json.loads(listed.stdout)
    assert len(reasons) > 50
    assert {"reason": "outage", "source": "stop", "outcome": "not_attempted"}.items() <= next(
        each for each in reasons if each["reason"] == "outage"
    ).items()
    assert {each["reason"] for each in reasons} == {
        line.strip() for line in names.stdout.splitlines() if line[0] == " "
    }
    assert (wrong.code, file.code) == (2, 2)
    assert wrong.stderr == (
        "rolecall: room_not_joind is neither a file nor a reason; did you mean 'room_not_joined'?\n"
    )
