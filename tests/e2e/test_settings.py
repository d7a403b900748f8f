"""Settings from every place, as the installed command takes them, shows them and refuses them."""

import json
import stat
from pathlib import Path

import pytest

from rolecall.sandbox import ACCOUNT, Sandbox, leader_world
from tests.support.command import ROLECALL, Ended, environment, read_report, rolecall, write_job

BARE = {"PATH": str(ROLECALL.parent)}
TOKEN = "s3cr3t-T0ken"
FILE = f"""
[workspace]
url = "https://chat.example.org"
user_id = "liveBot"
auth_token = "{TOKEN}"

[run]
rate = "5/s"
concurrency = 4
report-format = ["json", "jsonl"]

[profiles.test]
url = "https://test.example.org"
user_id = "testBot"
auth_token_file = "test-token"

[profiles.test.run]
rate = "50/s"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a working directory with settings and a token file, both private."""
    for name, text in (("rolecall.toml", FILE), ("test-token", TOKEN)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return tmp_path


async def shown(folder: Path, *words: str, **environ: str) -> dict[str, tuple[str, str]]:
    """Give each setting's value and place as `rolecall config` prints them in its columns."""
    ended = await rolecall(*words, cwd=folder, env={**BARE, **environ})
    assert (ended.code, ended.stderr) == (0, "")
    assert TOKEN not in ended.stdout
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in ended.stdout.splitlines()]
    return {row[0]: (row[1], row[2] if len(row) > 2 else "") for row in rows if len(row) > 1}


async def test_each_setting_is_shown_with_its_place(folder: Path) -> None:
    """Default, file, `.env` and environment are told apart; of the token only that there is one."""
    (folder / ".env").write_text("ROLECALL_MAX_ATTEMPTS=7\nROLECALL_CONCURRENCY=9\n")
    settings = await shown(folder, "config", ROLECALL_CONCURRENCY="2", ROLECALL_YES="1")
    assert settings["settings file"] == ("rolecall.toml", "")
    assert settings[".env"] == (".env", "")
    assert settings["profile"] == ("none (there are: test)", "")
    assert settings["url"] == ("https://chat.example.org", "rolecall.toml [workspace]")
    assert settings["auth_token"] == ("set", "rolecall.toml [workspace]")
    assert settings["rate"] == ("5/s", "rolecall.toml [run]")
    assert settings["report-format"] == ("json jsonl", "rolecall.toml [run]")
    assert settings["concurrency"] == ("2", "the environment, ROLECALL_CONCURRENCY")
    assert settings["max-attempts"] == ("7", ".env, ROLECALL_MAX_ATTEMPTS")
    assert settings["yes"] == ("yes", "the environment, ROLECALL_YES")
    assert settings["max-failures"] == ("50%", "default")
    assert settings["out"] == ("not set", "default")


@pytest.mark.parametrize(
    ("words", "environ", "place"),
    [
        (["--profile", "test"], {}, "--profile"),
        ([], {"ROLECALL_PROFILE": "test"}, "the environment, ROLECALL_PROFILE"),
        (["--profile", "test"], {"ROLECALL_PROFILE": "other"}, "--profile"),
    ],
)
async def test_a_profile_is_shown_with_what_is_its_own(
    folder: Path, words: list[str], environ: dict[str, str], place: str
) -> None:
    """What a profile says goes before the verb's own table, which goes on to hold for the rest."""
    settings = await shown(folder, *words, "config", "run", **environ)
    assert settings["profile"] == ("test (there are: test)", place)
    assert settings["url"] == ("https://test.example.org", "rolecall.toml [profiles.test]")
    assert settings["auth_token"] == ("set, in the file test-token", "rolecall.toml [profiles.test]")
    assert settings["rate"] == ("50/s", "rolecall.toml [profiles.test.run]")
    assert settings["concurrency"] == ("4", "rolecall.toml [run]")


async def test_a_profile_named_in_dotenv_holds(folder: Path) -> None:
    """`.env` may choose the profile, too."""
    (folder / ".env").write_text("ROLECALL_PROFILE=test\n")
    assert (await shown(folder, "config"))["profile"] == ("test (there are: test)", ".env, ROLECALL_PROFILE")


async def test_json_says_the_same(folder: Path) -> None:
    """With --json another program reads values and places, and what is wrong; still no token."""
    environ = {**BARE, "ROLECALL_RATE": "fast", "ROLECALL_RAET": "1/s", "ROLECALL_CA_FILE": ""}
    ended = await rolecall("config", "--json", cwd=folder, env=environ)
    assert (ended.code, ended.stderr) == (2, "")
    assert TOKEN not in ended.stdout
    said = json.loads(ended.stdout)
    assert said["settingsFile"] == "rolecall.toml"
    assert (said["dotenv"], said["profile"], said["profiles"]) == (None, None, ["test"])
    assert said["workspace"]["auth_token"] == {"value": "set", "place": "rolecall.toml [workspace]"}
    assert said["run"]["rate"] == {"value": "fast", "place": "the environment, ROLECALL_RATE"}
    assert said["run"]["ca-file"] == {"value": None, "place": "default"}
    wrong_rate, odd = said["problems"]
    assert "--rate" in wrong_rate
    assert "ROLECALL_RATE" in wrong_rate
    assert odd == "ROLECALL_RAET is not a setting; did you mean 'ROLECALL_RATE'?"


async def test_what_is_wrong_is_told_below_the_settings(tmp_path: Path) -> None:
    """Missing credentials end nothing: all settings are shown, and the line that `run` would end with."""
    ended = await rolecall("config", cwd=tmp_path, env={**BARE, "ROCKETCHAT_URL": f"https://me:{TOKEN}@example.org"})
    assert ended.code == 0
    assert "rate " in ended.stdout
    assert ended.stderr.startswith("warning: No workspace can be called: ROCKETCHAT_USER_ID and")
    assert TOKEN not in ended.stdout + ended.stderr


async def test_secrets_in_options_are_not_shown(folder: Path) -> None:
    """Of an address among the options only the host is shown: an incoming webhook's path is a secret."""
    (await shown(folder, "config", ROLECALL_OUT=f"https://me:{TOKEN}@hooks.example.org/hooks/{TOKEN}"))["out"]
    for address in (f"hooks.example.org/hooks/id/{TOKEN}", f"me:{TOKEN}@example.org/hooks/id"):
        assert TOKEN not in str(await shown(folder, "config", ROLECALL_NOTIFY=address))


@pytest.mark.parametrize(
    ("words", "environ", "said"),
    [
        (["rnu", "job.csv"], {}, "rolecall: No such command 'rnu'; did you mean 'run'? (rolecall --help)"),
        (["job.csv"], {}, "did you mean 'rolecall run job.csv'?"),
        (["run", "job.csv", "--rat", "5/s"], {}, "No such option '--rat'; did you mean '--rate'?"),
        (["run", "job.csv", "--profile", "test"], {}, "--profile goes before the command: rolecall --profile ... run"),
        (["--profile", "tset", "run", "job.csv"], {}, "there is no profile 'tset'; did you mean 'test'?"),
        (["--config", "none.toml", "run", "job.csv"], {}, "none.toml: there is no such file"),
        (["run", "job.csv"], {"ROLECALL_RATE": "5"}, "set in the environment, ROLECALL_RATE."),
        (["run", "job.csv"], {"ROLECALL_CONFIG": "bad.toml"}, "not a rate: write 10/s, 600/m, 3600/h or unlimited"),
        (["run", "job.csv"], {"ROLECALL_CONFIG": "bad.toml"}, "set in bad.toml [run]."),
        (["run", "job.csv"], {"ROLECALL_CONFIG": "odd.toml"}, "[run] has no key 'raet'; did you mean 'rate'?"),
        (["config"], {"ROLECALL_CONFIG": "odd.toml"}, "[run] has no key 'raet'; did you mean 'rate'?"),
        (["run", "job.csv"], {"ROLECALL_CONFIG": "argument.toml"}, "[run] has no key 'job'"),
        (["config", "rnu"], {}, "there is no command 'rnu'; did you mean 'run'?"),
        (
            ["run", "job.csv"],
            {"ROLECALL_MAX_FAILURE": "1"},
            "did you mean 'ROLECALL_MAX_FAILURES'? Rename or unset it.",
        ),
        (["template", "csv"], {"ROLECALL_RAET": "1/s"}, "ROLECALL_RAET is not a setting"),
        (["template"], {}, "Missing argument 'csv|json'. Choose from: csv, json"),
        (["--profile", "test", "run", "job.csv"], {"ROCKETCHAT_URL": "https://chat.example.org"}, "select no profile"),
    ],
)
async def test_every_refusal_names_the_next_step(
    folder: Path, words: list[str], environ: dict[str, str], said: str
) -> None:
    """What is misspelt, misplaced or contradictory is one line that says what was meant, or where it stands."""
    write_job(folder / "job.csv", [("room", "user")])
    (folder / "bad.toml").write_text("[run]\nrate = 5\n")
    (folder / "odd.toml").write_text("[run]\nraet = '5/s'\n")
    (folder / "argument.toml").write_text("[run]\njob = 'job.csv'\n")
    ended = await rolecall(*words, cwd=folder, env={**BARE, **environ})
    assert said in ended.stderr
    assert (ended.code, ended.stderr.count("\n"), ended.stdout) == (2, 1, "")
    assert "\ufffd" not in ended.stderr


async def test_a_run_works_on_the_workspace_of_its_profile(tmp_path: Path) -> None:
    """Of two workspaces in one file only the one whose profile is asked for is called."""
    write_job(tmp_path / "job.csv", [("room", "user")])
    live, rehearsal = leader_world([("room", "user")]), leader_world([("room", "user")])
    async with Sandbox(live) as one, Sandbox(rehearsal) as other:
        who = f'user_id = "{ACCOUNT.user_id}"\nauth_token = "{ACCOUNT.token}"\n'
        (tmp_path / "rolecall.toml").write_text(
            f'[workspace]\nurl = "{one.url}"\n{who}[profiles.test]\nurl = "{other.url}"\n{who}'
        )
        (tmp_path / "rolecall.toml").chmod(0o600)
        done = await rolecall("--profile", "test", "run", "job.csv", "--yes", "--out", "out", cwd=tmp_path, env=BARE)
        env = environment(one.url, ROLECALL_PROFILE="test")
        refused = await rolecall("run", "job.csv", cwd=tmp_path, env=env)
    assert done.code == 0, done.stderr
    assert [row["outcome"] for row in read_report(tmp_path / "out")] == ["removed"]
    assert live.calls == []
    assert refused.code == 2
    assert "ROCKETCHAT_URL" in refused.stderr


async def filled_in(folder: Path, form: str, row: str) -> Ended:
    """Write a template, put a row into it as a person would, and run it."""
    name = f"job.{form}"
    ended = await rolecall("template", form, "-o", name, cwd=folder, env=BARE)
    assert (ended.code, ended.stdout) == (0, "")
    assert f"rolecall run {name}" in ended.stderr
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    empty = (folder / name).read_text()
    world = leader_world([("room", "user")])
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        unfilled = await rolecall("run", name, cwd=folder, env=env)
        assert unfilled.code in (1, 2)
        assert world.calls == []
        (folder / name).write_text(empty + row if form == "csv" else empty.replace('{"roomId": "", "userId": ""}', row))
        return await rolecall("run", name, cwd=folder, env=env)


@pytest.mark.parametrize(("form", "row"), [("csv", "room,user\n"), ("json", '{"roomId": "room", "userId": "user"}')])
async def test_a_template_sends_nothing_until_it_is_filled_in(tmp_path: Path, form: str, row: str) -> None:
    """As it is written it asks for nothing; with a row filled in it is a job."""
    ended = await filled_in(tmp_path, form, row)
    assert ended.code == 0, ended.stderr


@pytest.mark.parametrize("form", ["csv", "json"])
async def test_a_template_is_printed_and_overwrites_nothing(tmp_path: Path, form: str) -> None:
    """Without --out it goes to standard output, byte by byte the same; a file that is there stays as it is."""
    printed = await rolecall("template", form, cwd=tmp_path, env=BARE)
    await rolecall("template", form, "--out", "new", cwd=tmp_path, env=BARE)
    assert (printed.code, printed.stderr, printed.stdout) == (0, "", (tmp_path / "new").read_text())
    (tmp_path / "job").write_text("mine")
    for name, said in (("job", "exists and is left as it is"), ("nowhere/job", "cannot be written")):
        ended = await rolecall("template", form, "-o", name, cwd=tmp_path, env=BARE)
        assert (ended.code, ended.stdout) == (2, "")
        assert said in ended.stderr
    assert (tmp_path / "job").read_text() == "mine"


async def test_a_misspelt_variable_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """A misspelt threshold would be ignored: the run is refused, also if the variable is in a `.env`."""
    job = write_job(tmp_path / "job.csv", [("room", "user")])
    world = leader_world([("room", "user")])
    (tmp_path / ".env").write_text("ROLECALL_MAX_FAILURE=1\n")
    async with Sandbox(world) as sandbox:
        ended = await rolecall("run", job, cwd=tmp_path, env=environment(sandbox.url))
    assert (ended.code, ended.stderr.count("\n")) == (2, 1)
    assert "ROLECALL_MAX_FAILURE is not a setting" in ended.stderr
    assert world.calls == []


async def test_variables_of_other_programs_are_one_warning(tmp_path: Path) -> None:
    """What Kubernetes injects for a service of a similar name is ignored, with one line."""
    job = write_job(tmp_path / "job.csv", [("room", "user")])
    other = {f"ROLECALL_POSTGRES_{name}": "x" for name in ("SERVICE_HOST", "SERVICE_PORT", "PORT_5432_TCP_ADDR")}
    async with Sandbox(leader_world([("room", "user")])) as sandbox:
        ended = await rolecall("run", job, "--quiet", cwd=tmp_path, env=environment(sandbox.url, **other))
        shown = await rolecall("config", cwd=tmp_path, env=environment(sandbox.url, **other))
    assert ended.code == 0
    assert ended.stderr.splitlines()[0].startswith("warning: ROLECALL_POSTGRES_PORT_5432_TCP_ADDR and 2 more")
    assert len(ended.stderr.splitlines()) == 1
    assert shown.code == 0
    assert "warning: ROLECALL_POSTGRES_SERVICE_HOST is not a setting" in shown.stderr


@pytest.mark.parametrize(
    "change",
    [
        {"ROLECALL_RATE": "fast"},
        {"ROLECALL_RAET": "1/s"},
        {"ROCKETCHAT_AUTH_TOKEN": "two words"},
        {"ROCKETCHAT_AUTH_TOKEN": "", "ROCKETCHAT_AUTH_TOKEN_FILE": "gone"},
    ],
)
async def test_config_ends_with_2_on_a_wrong_value(tmp_path: Path, change: dict[str, str]) -> None:
    """A script can check its settings: a value that a command would refuse is exit code 2, below all settings."""
    ended = await rolecall("config", cwd=tmp_path, env=environment("https://chat.example.org", **change))
    assert ended.code == 2
    assert "rate " in ended.stdout
    assert ended.stderr.startswith("warning: ")
