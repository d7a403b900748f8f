"""`rolecall.toml`: where it is looked for, its tables and profiles, and what of it is refused with which hint."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.app.errors import OperatorError
from rolecall.cli.config.config_file import ConfigFile, find_config_file, read_config_file
from rolecall.cli.config.config_sources import ConfigSources, load_dotenv_file
from rolecall.cli.config.credentials import find_credentials
from rolecall.rocketchat.connection_config import Credentials
from rolecall.text import did_you_mean

VERBS = ("run", "report", "config")
FLAGS = ("rate", "max_failures", "report_format")

TWO_WORKSPACES = """
[workspace]
url = "https://chat.example.org"
user_id = "liveBot"
auth_token = "live-token"

[run]
rate = "5/s"
max-failures = "5%"

[profiles.test]
url = "https://test.example.org"
user-id = "testBot"
auth_token = "test-token"

[profiles.test.run]
rate = "50/s"

[profiles.bare]
url = "https://bare.example.org"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(folder: Path, text: str = TWO_WORKSPACES, profile: str | None = None) -> ConfigFile:
    """Read a settings file that says `text`."""
    path = folder / "rolecall.toml"
    path.write_text(text)
    path.chmod(0o600)
    return read_config_file(path, profile, VERBS)


def login(file: ConfigFile, environ: Mapping[str, str], dotenv: tuple[str, ...] = ()) -> tuple[str, Credentials]:
    """Find the login, without warnings on the way."""
    warnings: list[str] = []
    found = find_credentials(environ, ConfigSources(file, frozenset(dotenv)), warnings.append)
    assert warnings == []
    return found


def test_without_a_profile_the_workspace_holds(folder: Path) -> None:
    """Profiles do not matter until one is asked for."""
    file = read(folder)
    assert login(file, {}) == ("https://chat.example.org", Credentials("liveBot", "live-token"))
    assert file.flags_of("run") == {"rate": "5/s", "max_failures": "5%"}


def test_a_profile_is_another_workspace(folder: Path) -> None:
    """Its credentials stand for those of [workspace], its flags go before the verb's own table."""
    file = read(folder, profile="test")
    assert login(file, {}) == ("https://test.example.org", Credentials("testBot", "test-token"))
    assert file.flags_of("run") == {"rate": "50/s", "max_failures": "5%"}
    assert file.place_of_flag("run", "rate").endswith("[profiles.test.run]")
    assert file.place_of_flag("run", "max_failures").endswith("[run]")


def test_a_profile_takes_nothing_of_the_other_workspace(folder: Path) -> None:
    """A token of [workspace] never goes to the workspace of a profile that has none."""
    with pytest.raises(OperatorError, match=r"ROCKETCHAT_USER_ID and ROCKETCHAT_AUTH_TOKEN .*\[profiles\.bare\]"):
        login(read(folder, profile="bare"), {})


def test_what_a_profile_lacks_may_be_in_the_environment(folder: Path) -> None:
    """A scheduler may keep the token, the file the rest."""
    environ = {"ROCKETCHAT_USER_ID": "bareBot", "ROCKETCHAT_AUTH_TOKEN": "bare-token"}
    found = login(read(folder, profile="bare"), environ)
    assert found == ("https://bare.example.org", Credentials("bareBot", "bare-token"))


@pytest.mark.parametrize(
    ("environ", "agrees"),
    [
        ({"ROCKETCHAT_URL": "https://chat.example.org"}, False),
        ({"ROCKETCHAT_URL": "https://test.example.org:8443"}, False),
        ({"ROCKETCHAT_URL": "http://test.example.org"}, False),
        ({"ROCKETCHAT_URL": "https://user:hunter2@test.example.org"}, False),
        ({"ROCKETCHAT_URL": "https://TEST.example.org/"}, True),
        ({"ROCKETCHAT_URL": "https://test.example.org/api/v1"}, True),
        ({"ROCKETCHAT_USER_ID": "liveBot"}, False),
        ({"ROCKETCHAT_USER_ID": "testBot"}, True),
        ({"ROCKETCHAT_AUTH_TOKEN": "live-token"}, False),
        ({"ROCKETCHAT_AUTH_TOKEN": "test-token"}, True),
        ({"ROCKETCHAT_AUTH_TOKEN_FILE": "live-token-file"}, False),
        ({"ROCKETCHAT_URL": ""}, True),
    ],
)
@pytest.mark.parametrize("in_dotenv", [False, True])
def test_variables_that_say_another_workspace_are_refused(
    folder: Path, environ: dict[str, str], agrees: bool, in_dotenv: bool
) -> None:
    """Where a profile and a variable differ nobody knows which is meant: one line with both, and no secret in it."""
    file = read(folder, profile="test")
    dotenv = tuple(environ) if in_dotenv else ()
    if agrees:
        assert login(file, environ, dotenv)[1].token == "test-token"
        return
    with pytest.raises(OperatorError, match="the profile 'test'") as refusal:
        login(file, environ, dotenv)
    said = str(refusal.value)
    assert next(iter(environ)) in said
    assert (".env" if in_dotenv else "environment") in said
    assert not any(secret in said for secret in ("live-token", "test-token", "hunter2"))


@pytest.mark.parametrize(
    ("text", "profile", "said"),
    [
        ("[rnu]", None, "unknown table [rnu]; did you mean 'run'?"),
        ("[zzz]", None, "known are config, profiles, report, run, workspace."),
        ("[profile.test]", None, "did you mean 'profiles'?"),
        ("workspace = 'https://chat.example.org'", None, "must be a table, written [workspace]"),
        ("run = 3", None, "must be a table, written [run]"),
        ("[workspace]\nuserid = 'x'", None, "[workspace] has no key 'userid'; did you mean 'user_id'?"),
        ("[profiles]\ntest = 3", None, "profiles.test must be a table"),
        ("[profiles.test]\nuser_id = 'x'", None, "[profiles.test] has no url"),
        ("[profiles.test]\nurl = ' '", None, "[profiles.test] has no url"),
        ("[profiles.test]\nurl = 'x'\nrun = 3", None, "written [profiles.test.run]"),
        ("[profiles.test]\nurl = 'x'\ntoken = 'y'", None, "did you mean 'auth_token'?"),
        ("[profiles.test]\nurl = 'x'\nrate = '5/s'", None, "[profiles.test] has no key 'rate'"),
        (TWO_WORKSPACES, "tset", "there is no profile 'tset'; did you mean 'test'?"),
        (TWO_WORKSPACES, "zzz", "there is no profile 'zzz'; known are bare, test."),
        ("", "test", "there is no profile 'test'; there are none."),
    ],
)
def test_what_the_file_cannot_mean_is_refused(folder: Path, text: str, profile: str | None, said: str) -> None:
    """Unknown tables, keys and profiles are refused with the nearest name that there is."""
    with pytest.raises(OperatorError, match=r"rolecall\.toml") as refusal:
        read(folder, text, profile)
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "every_profile", "said"),
    [
        ("[run]\nmax-failure = 3", False, "[run] has no key 'max-failure'; did you mean 'max-failures'?"),
        ("[run]\nmax_failure = 3", False, "did you mean 'max-failures'?"),
        ("[run]\nzzz = 3", False, "it has max-failures, rate, report-format."),
        (
            "[profiles.a]\nurl = 'x'\n[profiles.a.run]\nraet = 1",
            True,
            "[profiles.a.run] has no key 'raet'; did you mean",
        ),
        ("[profiles.a]\nurl = 'x'\n[profiles.a.run]\nraet = 1", False, ""),
        ("[run]\nmax-failures = 3\nreport_format = ['json']", True, ""),
    ],
)
def test_a_flag_that_the_verb_has_not_is_refused(folder: Path, text: str, every_profile: bool, said: str) -> None:
    """A misspelt threshold would be no threshold; a profile that is not used may hold what it likes until it is."""
    file = read(folder, text)
    if not said:
        file.require_known_flags("run", FLAGS, every_profile=every_profile)
        return
    with pytest.raises(OperatorError) as refusal:
        file.require_known_flags("run", FLAGS, every_profile=every_profile)
    assert said in str(refusal.value)


def test_a_profile_needs_a_file(folder: Path) -> None:
    """Without a settings file a profile is refused: no other workspace stands in for it."""
    with pytest.raises(OperatorError, match="no profile 'test'"):
        read_config_file(None, "test", VERBS)


@pytest.mark.parametrize(
    ("there", "environ", "found"),
    [
        (["here", "xdg", "home"], {"XDG_CONFIG_HOME": "{}/xdg", "HOME": "{}/home"}, "here"),
        (["xdg", "home"], {"XDG_CONFIG_HOME": "{}/xdg", "HOME": "{}/home"}, "xdg"),
        (["home"], {"XDG_CONFIG_HOME": "{}/xdg", "HOME": "{}/home"}, None),
        (["home"], {"HOME": "{}/home"}, "home"),
        (["xdg", "home"], {"XDG_CONFIG_HOME": "xdg", "HOME": "{}/home"}, "home"),
        (["xdg", "home"], {}, None),
        ([], {"HOME": "{}/home"}, None),
    ],
)
def test_the_nearest_file_is_the_one_that_is_read(
    folder: Path, there: list[str], environ: dict[str, str], found: str | None
) -> None:
    """The working directory's file goes before the user's; a relative XDG_CONFIG_HOME counts as none."""
    places = {
        "here": Path("rolecall.toml"),
        "xdg": folder / "xdg/rolecall/rolecall.toml",
        "home": folder / "home/.config/rolecall/rolecall.toml",
    }
    for name in there:
        places[name].parent.mkdir(parents=True, exist_ok=True)
        places[name].touch()
    environ = {name: value.format(folder) for name, value in environ.items()}
    assert find_config_file(None, environ) == (places[found] if found else None, found == "here")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("variable", ["HOME", "XDG_CONFIG_HOME"])
@pytest.mark.parametrize("is_link", [True, False])
def test_a_readable_file_in_the_home_of_another_user_is_refused(folder: Path, variable: str, *, is_link: bool) -> None:
    """It could name the host that gets the token; a file that --config names is used."""
    path = folder / ("home/.config/rolecall/rolecall.toml" if variable == "HOME" else "home/rolecall/rolecall.toml")
    path.parent.mkdir(parents=True)
    if is_link:
        (folder / "target").write_text("[run]\n")
        path.symlink_to(folder / "target")
    else:
        path.write_text("[run]\n")
    os.chown(path, 54_321, 54_321, follow_symlinks=False)
    with pytest.raises(OperatorError, match=r"belongs to another user.*--config"):
        find_config_file(None, {variable: str(folder / "home")})
    assert find_config_file(str(path), {variable: str(folder / "home")}) == (path, False)


@pytest.mark.parametrize("what", ["directory", "file"])
def test_a_users_file_that_may_not_be_read_is_ignored(folder: Path, what: str) -> None:
    """With the HOME of another user, whose files are private, a command starts without settings of that user."""
    path = folder / "home/.config/rolecall/rolecall.toml"
    path.parent.mkdir(parents=True)
    path.write_text("[run]\n")
    (path.parent if what == "directory" else path).chmod(0o000)
    environ = {"HOME": str(folder / "home")}
    with unprivileged():
        assert find_config_file(None, environ) == (None, False)
        assert load_dotenv_file(environ, print) == frozenset()
    (path.parent if what == "directory" else path).chmod(0o700)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be no root meanwhile: for root every file is readable."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(54_321)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_named_file_must_be_there(folder: Path) -> None:
    """A file that is named goes before all others; a misspelt name is no reason to take another file."""
    (folder / "rolecall.toml").touch()
    (folder / "other.toml").touch()
    assert find_config_file("other.toml", {}) == (Path("other.toml"), False)
    with pytest.raises(OperatorError, match=r"othr\.toml"):
        find_config_file("othr.toml", {})


def test_a_token_file_lies_beside_the_file_that_names_it(folder: Path) -> None:
    """A relative path in a user's settings file means that file's folder, whatever the working directory."""
    home = folder / "config"
    home.mkdir()
    (home / "token").write_text("the-token")
    (home / "token").chmod(0o600)
    file = read(home, '[workspace]\nurl = "https://chat.example.org"\nuser_id = "bot"\nauth_token_file = "token"\n')
    assert login(file, {})[1].token == "the-token"


TOML = """[workspace] [run] [profiles] [profiles.a] [profiles.a.run] [profiles.''] [[profiles]] [b] url='x' url=3
url='' user-id='x' user_id='x' run=1 rate='1/s' a={run=1}"""


@given(st.lists(st.sampled_from(TOML.split()), max_size=7), st.sampled_from([None, "a", "b", ""]))
def test_any_file_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], profile: str | None
) -> None:
    """However its lines are put together, a file is understood or refused by its name, and a profile has an address."""
    path = tmp_path_factory.getbasetemp() / "rolecall.toml"
    path.write_text("\n".join(lines))
    try:
        file, said = read_config_file(path, profile, VERBS), ""
    except OperatorError as refusal:
        file, said = ConfigFile(path), str(refusal)
    assert not said or ("rolecall.toml" in said and "\n" not in said)
    assert said or profile is None or str(file.workspace["url"]).strip()
    assert all(isinstance(file.flags_of(verb), dict) for verb in VERBS)


@given(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=5))
def test_the_nearest_word_is_one_of_the_known(word: str, known: list[str]) -> None:
    """Whatever is typed, what is suggested is a word that there is, and a known word suggests itself."""
    said = did_you_mean(word, known)
    assert said == "" or any(said == f"did you mean {each!r}?" for each in known)
    if word and word in known and word.isascii():
        assert said.lower() == f"did you mean {word!r}?".lower()
