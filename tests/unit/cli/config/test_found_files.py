"""Files that are only found in the working directory: they may not send the token of another source anywhere."""

import os
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from rolecall.app.errors import OperatorError
from rolecall.cli.config.config_sources import ConfigSources, read_sources
from rolecall.cli.config.credentials import find_credentials, load_credentials
from rolecall.rocketchat.connection_config import Credentials

EVIL, URL, USER, TOKEN = "https://evil.example.org", "https://chat.example.org", "bulkBotId", "s3cr3t-T0ken"
ENVIRON = {"ROCKETCHAT_URL": URL, "ROCKETCHAT_USER_ID": USER, "ROCKETCHAT_AUTH_TOKEN": TOKEN}
TABLE = f'[workspace]\nurl = "{URL}"\nuser_id = "{USER}"\nauth_token = "{TOKEN}"\n'
LOGIN = (URL, Credentials(USER, TOKEN))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory of the test's own, with a home directory beside it."""
    (tmp_path / "work").mkdir()
    (tmp_path / "home/.config/rolecall").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def write(path: Path, text: str) -> Path:
    """Write a private file."""
    path.write_text(text)
    path.chmod(0o600)
    return path


def sources_of(folder: Path, environ: dict[str, str], config: str | None = None) -> ConfigSources:
    """Read the sources as a command does."""
    environ["HOME"] = str(folder / "home")
    return read_sources(None, config, ("run",), environ, print)


def login(folder: Path, environ: Mapping[str, str], config: str | None = None) -> tuple[str, Credentials]:
    """Return the URL and the credentials that a command finds."""
    variables = dict(environ)
    sources = sources_of(folder, variables, config)
    return find_credentials(variables, sources, print)


def without(name: str) -> dict[str, str]:
    """Return the environment without one variable."""
    return {each: value for each, value in ENVIRON.items() if each != name}


def test_a_url_in_a_dotenv_file_does_not_get_the_users_token(folder: Path) -> None:
    """A `.env` that names only a URL does not send the token of the user's own file there; both are named."""
    write(folder / "home/.config/rolecall/rolecall.toml", TABLE)
    assert login(folder, {}) == LOGIN
    write(Path(".env"), f"ROCKETCHAT_URL={EVIL}\n")
    with pytest.raises(OperatorError, match="working directory") as refusal:
        login(folder, {})
    assert "ROCKETCHAT_URL comes from .env" in str(refusal.value)
    assert "home/.config/rolecall/rolecall.toml" in str(refusal.value)
    assert TOKEN not in str(refusal.value)


@pytest.mark.parametrize("name", sorted(ENVIRON))
@pytest.mark.parametrize("place", [".env", "rolecall.toml"])
def test_a_found_file_completes_no_other_credentials(folder: Path, name: str, place: str) -> None:
    """No single value of a found file is used with values of the environment."""
    key = {"ROCKETCHAT_URL": "url", "ROCKETCHAT_USER_ID": "user_id", "ROCKETCHAT_AUTH_TOKEN": "auth_token"}[name]
    text = f"{name}={ENVIRON[name]}\n" if place == ".env" else f'[workspace]\n{key} = "{ENVIRON[name]}"\n'
    write(Path(place), text)
    with pytest.raises(OperatorError) as refusal:
        login(folder, without(name))
    assert f"{name} comes from {place}" in str(refusal.value)
    assert "the environment" in str(refusal.value)


def test_a_named_file_completes_the_environment(folder: Path) -> None:
    """A file that `--config` or ROLECALL_CONFIG names may have the URL, and the environment the token."""
    write(Path("rolecall.toml"), f'[workspace]\nurl = "{URL}"\nuser_id = "{USER}"\n')
    token = {"ROCKETCHAT_AUTH_TOKEN": TOKEN}
    assert login(folder, token, "rolecall.toml") == LOGIN
    assert login(folder, {**token, "ROLECALL_CONFIG": "rolecall.toml"}) == LOGIN


def test_a_file_that_a_dotenv_file_names_is_not_named_by_the_user(folder: Path) -> None:
    """A `.env` cannot name a config file so that it may complete the environment."""
    write(folder / "evil.toml", f'[workspace]\nurl = "{EVIL}"\n')
    write(Path(".env"), f"ROLECALL_CONFIG={folder / 'evil.toml'}\n")
    with pytest.raises(OperatorError, match="working directory"):
        login(folder, without("ROCKETCHAT_URL"))


def test_a_complete_file_is_one_source(folder: Path) -> None:
    """All three values in one found file are used, also where the environment repeats one of them."""
    write(Path("rolecall.toml"), TABLE)
    assert login(folder, {}) == LOGIN
    assert login(folder, {"ROCKETCHAT_URL": f"{URL}/"})[1] == LOGIN[1]
    with pytest.raises(OperatorError, match="ROCKETCHAT_URL from the environment"):
        login(folder, {"ROCKETCHAT_URL": EVIL})


@pytest.mark.parametrize("place", [".env", "rolecall.toml"])
@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_found_file_names_no_token_file_elsewhere(folder: Path, place: str, through_a_link: bool) -> None:
    """A token file of the user cannot be named by a file with another URL; one beside it can."""
    token = write(folder / "home/token", TOKEN)
    if through_a_link:
        Path("link").symlink_to(token)
        token = Path("link")
    as_dotenv = "ROCKETCHAT_URL={}\nROCKETCHAT_USER_ID={}\nROCKETCHAT_AUTH_TOKEN_FILE={}\n"
    as_toml = '[workspace]\nurl = "{}"\nuser_id = "{}"\nauth_token_file = "{}"\n'
    form = as_dotenv if place == ".env" else as_toml
    write(Path(place), form.format(EVIL, USER, token))
    with pytest.raises(OperatorError, match="The token file"):
        login(folder, {})
    write(Path("token"), TOKEN)
    write(Path(place), form.format(URL, USER, "token"))
    assert login(folder, {}) == LOGIN


@pytest.mark.parametrize("place", [".env", "rolecall.toml"])
@pytest.mark.parametrize(("name", "value"), [("ca_file", "ca.pem"), ("allow_http", "true")])
def test_a_found_file_does_not_weaken_the_connection(
    folder: Path, place: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither authorities nor `allow-http` of a found file are used with credentials of another source."""
    for variable, content in ENVIRON.items():
        monkeypatch.setenv(variable, content)
    Path("ca.pem").touch()
    if place == ".env":
        write(Path(place), f"ROLECALL_{name.upper()}={value}\n")
    else:
        write(Path(place), f'[run]\n{name} = "{value}"\n')
    command = click.Command("run", params=[click.Option(["--ca-file"]), click.Option(["--allow-http"], is_flag=True)])
    # Set and removed, so that what the file sets is undone after the test.
    monkeypatch.setenv(f"ROLECALL_{name.upper()}", "x")
    monkeypatch.delenv(f"ROLECALL_{name.upper()}")
    monkeypatch.setenv("HOME", str(folder / "home"))
    sources = read_sources(None, None, ("run",), os.environ, print)
    flags = sources.file.flags_of("run")
    ctx = click.Context(command, info_name="run", auto_envvar_prefix="ROLECALL", default_map=flags, obj=sources)
    command.parse_args(ctx, [])
    with ctx, pytest.raises(OperatorError, match=f"--{name.replace('_', '-')} comes from {place}"):
        load_credentials(print)
    flag = ["--allow-http"] if name == "allow_http" else ["--ca-file", "ca.pem"]
    typed = click.Context(command, info_name="run", auto_envvar_prefix="ROLECALL", default_map=flags, obj=sources)
    command.parse_args(typed, flag)
    with typed:
        assert load_credentials(print) == LOGIN


@pytest.mark.parametrize("place", [".env", "rolecall.toml"])
def test_a_file_of_another_user_is_refused(folder: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A found file that belongs to another user is refused by name, whatever it sets; root's is not."""
    path = write(Path(place), "")
    other = 54_321
    if os.geteuid() == 0:
        os.chown(path, other, other)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(OperatorError, match="belongs to another user") as refusal:
        sources_of(folder, {})
    assert str(path) in str(refusal.value)


def test_a_link_of_another_user_is_refused(folder: Path) -> None:
    """A link that another user placed is refused, though its target is our own."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a link of another user")
    Path(".env").symlink_to(write(folder / "mine", ""))
    os.lchown(".env", 54_321, 54_321)
    with pytest.raises(OperatorError, match="belongs to another user"):
        sources_of(folder, {})


def test_a_dotenv_file_sets_only_our_own_variables(folder: Path) -> None:
    """A `.env` sets no proxy, no search path and no certificate file of other libraries."""
    write(Path(".env"), f"HTTPS_PROXY={EVIL}\nPATH=/tmp\nSSL_CERT_FILE=x\nROCKETCHAT_X=1\nROLECALL_RATE=5/s\n")
    environ: dict[str, str] = {}
    sources = sources_of(folder, environ)
    assert sources.dotenv == {"ROLECALL_RATE"}
    assert environ == {"ROLECALL_RATE": "5/s", "HOME": str(folder / "home")}
