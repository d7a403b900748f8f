"""`workspaces.toml`: what it may have, and one line for each thing that is wrong in it."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.app.errors import OperatorError
from rolecall.cluster.workspaces_file import Workspaces, read_workspaces, workspace_named

GOOD = """
[workspaces.main]
url = "https://chat.example.org/"
user_id = "account"
token_file = "main.token"

[workspaces.second]
url = "http://127.0.0.1:3000"
user_id = "account2"
token_env = "SECOND_TOKEN"
"""


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file of this content and return its path."""
    path = folder / "workspaces.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def read(folder: Path, text: str = GOOD) -> Workspaces:
    """Read a file of this content, which leads to no warning."""
    warnings = list[str]()
    entries = read_workspaces(write(folder, text), warnings.append)
    assert warnings == []
    return entries


def refusal(path: Path) -> str:
    """Return the one line with which a file is refused."""
    with pytest.raises(OperatorError) as caught:
        read_workspaces(path, print)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_entries_are_read_in_their_order(tmp_path: Path) -> None:
    """Each entry has its name, its normalised URL and its account; a token file is beside the file that names it."""
    main, second = read(tmp_path).values()
    assert (main.name, main.url, main.user_id) == ("main", "https://chat.example.org", "account")
    assert main.token_file == tmp_path / "main.token"
    assert (second.name, second.token_file, second.token_env) == ("second", None, "SECOND_TOKEN")
    assert main.connection(timeout=3).timeout == 3


def test_the_token_is_read_when_it_is_needed(tmp_path: Path) -> None:
    """A token that was exchanged in its file is used at the next reading, and stands in no representation."""
    main, second = read(tmp_path).values()
    for token in ("first-token", "second-token"):
        assert main.token_file is not None
        main.token_file.write_text(f"{token}\n")
        main.token_file.chmod(0o600)
        credentials = main.load_credentials({}, pytest.fail)
        assert (credentials.user_id, credentials.token) == ("account", token)
        assert token not in repr(credentials) + repr(main)
    assert second.load_credentials({"SECOND_TOKEN": " x "}, pytest.fail).token == "x"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"two words", "has characters that no token has"),
        (b"\xef\xbb\xbftoken", "begins with a byte order mark"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_token_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    """The refusal has the file and the key, and never what stands in the token file."""
    main = read(tmp_path)["main"]
    if content is not None:
        (tmp_path / "main.token").write_bytes(content)
        (tmp_path / "main.token").chmod(0o600)
    with pytest.raises(OperatorError, match=words) as caught:
        main.load_credentials({}, pytest.fail)
    assert "[workspaces.main]: token_file" in str(caught.value)
    assert "two words" not in str(caught.value)


def test_a_variable_without_a_token_is_refused(tmp_path: Path) -> None:
    """A missing variable is named."""
    with pytest.raises(OperatorError, match=r"\[workspaces.second\]: token_env: the variable SECOND_TOKEN is not set"):
        read(tmp_path)["second"].load_credentials({}, pytest.fail)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("user_id", "user_idd", "has no key 'user_idd'; did you mean 'user_id'?"),
        ("user_id", "colour", "has no key 'colour'; it has url, user_id, token_file, token_env, ca_file, allow_http."),
        ("token_file", "token", "the token itself is not allowed in this file"),
        ('user_id = "account"\n', "", "[workspaces.main] has no user_id."),
        ('url = "https://chat.example.org/"', "", "[workspaces.main] has no url."),
        ('url = "https://chat.example.org/"', "url = 5", "url must be a text in quotes"),
        ("https://chat.example.org/", "ftp://chat.example.org", "[workspaces.main]: url: "),
        ("https://chat.example.org/", "http://chat.example.org", "add allow_http = true"),
        ('token_file = "main.token"', "", "has no token_file and no token_env: name one of them"),
        ('token_file = "main.token"', 'token_file = "a"\ntoken_env = "B"', "has both token_file and token_env"),
        ('"account"', '"an account"', "user_id has characters that no id has"),
        ('"account"', '"account"\nca_file = "no.pem"', "ca_file"),
        ('"account"', '"account"\nallow_http = "yes"', "allow_http must be true or false"),
        ("[workspaces.main]", "[workspace.main]", "unknown table [workspace]; did you mean 'workspaces'?"),
        ("[workspaces.main]", '[workspaces."a b"]', "'a b' is no name of a workspace"),
        ("http://127.0.0.1:3000", "https://chat.example.org", "main and second have the same url"),
        (GOOD, "", "has no workspace: add a table such as [workspaces.main]"),
        (GOOD, "workspaces = 5", "has no workspace"),
        (GOOD, "workspaces.main = 5", "main must be a table, written [workspaces.main]"),
        (GOOD, "[", "cannot be used: "),
    ],
)
def test_what_is_wrong_is_refused_with_the_file_and_the_key(tmp_path: Path, old: str, new: str, words: str) -> None:
    """Each mistake leads to one line with the file and what is wrong in it."""
    path = write(tmp_path, GOOD.replace(old, new, 1))
    said = refusal(path)
    assert str(path) in said
    assert words in said


def test_the_files_of_others_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that others may write, or that belongs to another user, is refused; one that they may read is not."""
    path = write(tmp_path, GOOD, 0o620)
    assert "others may write it" in refusal(path)
    path.chmod(0o644)
    warnings = list[str]()
    assert read_workspaces(path, warnings.append)
    assert warnings == [f"{path} has credentials and can be read by others: chmod 600 {path}"]
    os.chown(path, 12_345, -1) if os.geteuid() == 0 else monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    assert "it belongs to another user" in refusal(path)


def test_a_missing_file_and_a_missing_name_are_refused(tmp_path: Path) -> None:
    """The refusal names the file, and the nearest name where there is one."""
    assert "there is no such file" in refusal(tmp_path / "none.toml")
    entries, path = read(tmp_path), tmp_path / "workspaces.toml"
    assert workspace_named(entries, "main", path).name == "main"
    with pytest.raises(OperatorError, match="has no workspace 'mian'; did you mean 'main'"):
        workspace_named(entries, "mian", path)


@given(st.lists(st.sampled_from([*GOOD.split("\n"), "[workspaces.x]", "x = 1", '"', "token_env = 'A'"]), max_size=12))
def test_any_file_is_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    """However its lines are put together, a file is read, or refused on one line with its name."""
    path = write(tmp_path_factory.getbasetemp(), "\n".join(lines))
    try:
        entries, said = read_workspaces(path, pytest.fail), ""
    except OperatorError as error:
        entries, said = {}, str(error)
    assert entries or ("workspaces.toml" in said and "\n" not in said)
