"""Who calls, and where: every place that credentials may come from, what is missing, and what is never shown."""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from rolecall.app.errors import OperatorError
from rolecall.cli.config.config_file import CONFIG_FILE, ConfigFile, read_config_file
from rolecall.cli.config.config_sources import ConfigSources, load_dotenv_file
from rolecall.cli.config.credentials import ConfigValue, find_credentials
from rolecall.cli.exit_codes import ExitCode, exit_code_of
from rolecall.rocketchat.connection_config import Credentials

URL, USER, TOKEN = "https://chat.example.org", "bulkBotId", "s3cr3t-T0ken"
ENVIRON = {"ROCKETCHAT_URL": URL, "ROCKETCHAT_USER_ID": USER, "ROCKETCHAT_AUTH_TOKEN": TOKEN}
TABLE = {"url": URL, "user_id": USER, "auth_token": TOKEN}
WHO = (URL, Credentials(USER, TOKEN))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def find(
    environ: dict[str, str], workspace: Mapping[str, Any] | None = None, dotenv: Collection[str] = ()
) -> tuple[tuple[str, Credentials], list[str]]:
    """Find the login, and the warnings on the way."""
    warnings: list[str] = []
    sources = ConfigSources(ConfigFile(CONFIG_FILE, workspace=workspace or {}), frozenset(dotenv))
    return find_credentials(environ, sources, warnings.append), warnings


def settings_file(folder: Path, mode: int = 0o600) -> dict[str, Any]:
    """Write a settings file with all three values, and read it as the command does."""
    path = folder / "rolecall.toml"
    path.write_text(f'[workspace]\nurl = "{URL}"\nuser_id = "{USER}"\nauth_token = "{TOKEN}"\n')
    path.chmod(mode)
    return dict(read_config_file(path, None, ()).workspace)


def test_from_the_environment() -> None:
    """Three variables are all that is needed, and raise no warning."""
    assert find(ENVIRON) == (WHO, [])


def test_from_the_settings_file(folder: Path) -> None:
    """The table [workspace] stands for the variables."""
    assert find({}, settings_file(folder)) == (WHO, [])


@pytest.mark.parametrize("name", sorted(ENVIRON))
def test_the_environment_goes_before_the_file(folder: Path, name: str) -> None:
    """Each value is taken from the environment where it stands there, else from the file."""
    (url, who), _ = find({name: "other"}, settings_file(folder))
    assert sorted((url, who.user_id, who.token)) == sorted({**ENVIRON, name: "other"}.values())


@pytest.mark.parametrize("content", [TOKEN, f"{TOKEN}\n", f"  {TOKEN}\r\n\n"])
@pytest.mark.parametrize("in_settings", [False, True])
def test_from_a_token_file(folder: Path, content: str, in_settings: bool) -> None:
    """A secret mounted as a file may end in a line break; the file may be named in either place."""
    path = folder / "token"
    path.write_text(content)
    path.chmod(0o400)
    environ = {"ROCKETCHAT_URL": URL, "ROCKETCHAT_USER_ID": USER}
    if in_settings:
        assert find(environ, {"auth_token_file": str(path)}) == (WHO, [])
    else:
        assert find({**environ, "ROCKETCHAT_AUTH_TOKEN_FILE": str(path)}) == (WHO, [])


def test_a_token_goes_before_a_token_file() -> None:
    """Where the token itself is given, the file is not even read."""
    assert find({**ENVIRON, "ROCKETCHAT_AUTH_TOKEN_FILE": "/nowhere"}) == (WHO, [])


@pytest.mark.parametrize(
    ("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o644, True)]
)
def test_a_readable_token_file_warns(folder: Path, mode: int, warned: bool) -> None:
    """A token that others can read still works, with a warning that says how to mend it."""
    path = folder / "token"
    path.write_text(TOKEN)
    path.chmod(mode)
    environ = {**ENVIRON, "ROCKETCHAT_AUTH_TOKEN": "", "ROCKETCHAT_AUTH_TOKEN_FILE": str(path)}
    login, warnings = find(environ)
    assert login == WHO
    assert warnings == ([f"{path} has a token and can be read by others: chmod 600 {path}"] if warned else [])


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o644, True)])
def test_a_readable_settings_file_with_a_token_warns(folder: Path, mode: int, warned: bool) -> None:
    """The same holds for a token in the settings file; a file without a token may be read by anybody."""
    _, warnings = find({}, settings_file(folder, mode))
    assert bool(warnings) is warned
    assert all(TOKEN not in warning for warning in warnings)
    del (table := settings_file(folder, mode))["auth_token"]
    assert find(ENVIRON, table)[1] == []


@pytest.mark.parametrize("blank", [None, "", "  "])
@pytest.mark.parametrize("missing", range(1, 8))
def test_all_that_is_missing_is_named(missing: int, blank: str | None) -> None:
    """Whatever of the three is missing or blank is named at once, and nothing that is there."""
    environ = dict(ENVIRON)
    for place, name in enumerate(ENVIRON):
        if missing >> place & 1:
            del environ[name]
            if blank is not None:
                environ[name] = blank
    with pytest.raises(OperatorError) as refusal:
        find(environ)
    said = str(refusal.value)
    assert exit_code_of(refusal.value) is ExitCode.USAGE
    named = [name for name in ENVIRON if re.search(rf"\b{name}\b", said)]
    assert named == [name for place, name in enumerate(ENVIRON) if missing >> place & 1]
    assert TOKEN not in said


@pytest.mark.parametrize("name", ["ROCKETCHAT_USER_ID", "ROCKETCHAT_AUTH_TOKEN"])
@pytest.mark.parametrize(
    "value", ["two words", "a\nb", "a\r\nX-Evil: 1", "\x00", "a\x7f", "tökén", "a\u200bb", "\u202e", "a\tb", "x" * 4097]
)
def test_odd_characters_are_refused(name: str, value: str) -> None:
    """What can be no id or token, or would break a header, is refused by its variable, and is not shown."""
    with pytest.raises(OperatorError, match=name) as refusal:
        find({**ENVIRON, name: value})
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("content", [b"", b" \n", b"a b", b"a\nb\n", b"\xff\xfe", b"x" * 5000, b"a\x00b"])
def test_a_token_file_that_holds_no_token_is_refused(folder: Path, content: bytes) -> None:
    """Empty, several lines, no text, endless: refused by name, with nothing of its content."""
    path = folder / "token"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(
        OperatorError,
        match=r"^The token file .* \(.*environment.*\) (is empty|has characters|begins with a byte order mark)",
    ):
        find({**ENVIRON, "ROCKETCHAT_AUTH_TOKEN": "", "ROCKETCHAT_AUTH_TOKEN_FILE": str(path)})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f'"{TOKEN}"'.encode(), "has quotes around the value"),
        (f"'{TOKEN}'\n".encode(), "has quotes around the value"),
        (f"\u201c{TOKEN}\u201d".encode(), "has quotes around the value"),
        (f"{TOKEN}'".encode(), "has quotes around the value"),
        (f"\ufeff{TOKEN}\n".encode(), "byte order mark"),
        (TOKEN.encode("utf-16"), "byte order mark"),
        (b"\xfe\xff" + TOKEN.encode("utf-16-be"), "byte order mark"),
    ],
)
def test_quotes_and_a_byte_order_mark_are_named_with_the_file(folder: Path, content: bytes, said: str) -> None:
    """Quotes around a token and a byte order mark before it are not sent; one line names the file and the fault."""
    path = folder / "token"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(OperatorError, match=said) as refusal:
        find({**ENVIRON, "ROCKETCHAT_AUTH_TOKEN": "", "ROCKETCHAT_AUTH_TOKEN_FILE": str(path)})
    assert str(path) in str(refusal.value)
    assert TOKEN not in str(refusal.value)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("name", ["ROCKETCHAT_USER_ID", "ROCKETCHAT_AUTH_TOKEN"])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_in_a_variable_are_named(name: str, quote: str) -> None:
    """A tool that keeps the quotes of its settings file (`docker --env-file`) is no reason to send them."""
    with pytest.raises(OperatorError, match=f"^{name} \\(the environment\\) has quotes") as refusal:
        find({**ENVIRON, name: f"{quote}{ENVIRON[name]}{quote}"})
    assert ENVIRON[name] not in str(refusal.value)


@pytest.mark.parametrize("name", ["nowhere", ".", "token/below", "x" * 300, "nul\x00byte"])
def test_a_token_file_that_cannot_be_read_is_refused(folder: Path, name: str) -> None:
    """A missing file, a folder, an impossible name: one line with the reason."""
    (folder / "token").write_text(TOKEN)
    with pytest.raises(OperatorError, match=r"^The token file .* \(.*\[workspace\]\) cannot be read"):
        find({}, {"url": URL, "user_id": USER, "auth_token_file": name})


@pytest.mark.parametrize(
    "content",
    [
        b"[workspace",
        b"url = ",
        b"\xff\xfe",
        b"a = 1\na = 2\n",
        b"\x00",
        b'x = "\x1b[31m"\n',
        b'[workspace]\nurl = "unclosed\n',
    ],
)
def test_a_broken_settings_file_is_refused(folder: Path, content: bytes) -> None:
    """What is no TOML is refused by its name in one plain line."""
    (folder / "rolecall.toml").write_bytes(content)
    with pytest.raises(OperatorError, match=r"rolecall\.toml") as refusal:
        read_config_file(CONFIG_FILE, None, ())
    assert str(refusal.value).replace("\ufffd", "").isprintable()


def test_a_settings_file_that_is_a_folder_is_refused(folder: Path) -> None:
    """A folder of that name is told, not passed over."""
    (folder / "rolecall.toml").mkdir()
    with pytest.raises(OperatorError, match=r"rolecall\.toml"):
        read_config_file(CONFIG_FILE, None, ())


def test_no_settings_file_is_no_settings() -> None:
    """The file is not needed."""
    assert read_config_file(None, None, ()) == ConfigFile(CONFIG_FILE)


@pytest.mark.parametrize(
    ("environ", "dotenv", "workspace", "token"),
    [
        ({"ROCKETCHAT_AUTH_TOKEN": "one", "ROCKETCHAT_AUTH_TOKEN_FILE": "two"}, [], {}, "one"),
        ({"ROCKETCHAT_AUTH_TOKEN": "one", "ROCKETCHAT_AUTH_TOKEN_FILE": "two"}, ["ROCKETCHAT_AUTH_TOKEN"], {}, "2"),
        ({"ROCKETCHAT_AUTH_TOKEN_FILE": "two"}, [], {"auth_token": "three"}, "2"),
        ({"ROCKETCHAT_AUTH_TOKEN": ""}, [], {"auth_token": "three", "auth_token_file": "two"}, "three"),
        ({}, [], {"auth_token_file": "two"}, "2"),
    ],
)
def test_the_nearer_place_gives_the_token(
    folder: Path, environ: dict[str, str], dotenv: list[str], workspace: dict[str, str], token: str
) -> None:
    """The environment goes before `.env`, `.env` before the file; in one place the token before its file."""
    (folder / "two").write_text("2")
    (folder / "two").chmod(0o600)
    (folder / "rolecall.toml").touch(0o600)
    who = {"ROCKETCHAT_URL": URL, "ROCKETCHAT_USER_ID": USER}
    assert find({**who, **environ}, workspace, dotenv) == ((URL, Credentials(USER, token)), [])


def test_a_dotenv_file_fills_what_is_not_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `.env` sets what the environment does not, and warns when others can read its token."""
    for name in ("ROCKETCHAT_URL", "ROCKETCHAT_AUTH_TOKEN", "ROLECALL_BARE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROCKETCHAT_USER_ID", "from the environment")
    # Set and taken back, so that what the file sets is undone after the test.
    for name in ("ROCKETCHAT_URL", "ROCKETCHAT_AUTH_TOKEN"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    (folder / ".env").write_text(
        f"# a comment\nROCKETCHAT_URL={URL}\nexport ROCKETCHAT_AUTH_TOKEN='a$HOME${{USER}}'\n"
        "ROCKETCHAT_USER_ID=from the file\nROLECALL_BARE\n"
    )
    warnings: list[str] = []
    (folder / ".env").chmod(0o644)
    taken = load_dotenv_file(os.environ, warnings.append)
    assert taken == {"ROCKETCHAT_URL", "ROCKETCHAT_AUTH_TOKEN"}
    assert [warning for warning in warnings if ".env" in warning]
    assert os.environ["ROCKETCHAT_URL"] == URL
    assert os.environ["ROCKETCHAT_AUTH_TOKEN"] == "a$HOME${USER}"
    assert os.environ["ROCKETCHAT_USER_ID"] == "from the environment"
    assert "ROLECALL_BARE" not in os.environ


def test_no_dotenv_file_is_no_fault(folder: Path) -> None:
    """Neither a missing `.env` nor a folder of that name matters."""
    load_dotenv_file(os.environ, print)
    (folder / ".env").mkdir()
    load_dotenv_file(os.environ, print)


@pytest.mark.parametrize("content", [b"ROLECALL_X=caf\xe9\n", b"\xff\xfeA\x00", b"ROLECALL_X=a\x00b\n"])
def test_a_dotenv_file_that_is_no_text_is_refused(
    folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `.env` in another encoding, or with zero bytes, is one line for a person, not a traceback."""
    monkeypatch.setenv("ROLECALL_X", "x")
    monkeypatch.delenv("ROLECALL_X")
    (folder / ".env").write_bytes(content)
    with pytest.raises(OperatorError, match=r"\.env"):
        load_dotenv_file(os.environ, print)


@pytest.mark.parametrize("shown", [repr(WHO), str(WHO), f"{WHO}", f"{[WHO]}", f"{WHO!r:>9}"])
def test_the_token_is_in_no_representation(shown: str) -> None:
    """A login can be shown without its token."""
    assert TOKEN not in shown
    assert USER in shown


def test_no_value_is_in_the_representation_of_where_it_stands() -> None:
    """What was found for a variable may be a token, and is not shown with its place."""
    assert TOKEN not in f"{ConfigValue('ROCKETCHAT_AUTH_TOKEN', TOKEN, '.env', in_file=False)}"
