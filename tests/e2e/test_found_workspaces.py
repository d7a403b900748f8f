"""Files of the working directory that name workspaces or a database: no token of another place is used for them."""

from pathlib import Path

import pytest

from rolecall.sandbox import Sandbox, World
from tests.support.command import environment, rolecall, write_job

DATABASE = "postgresql://someone@127.0.0.1:9/rolecall"


def write_workspaces(path: Path, url: str, token: str) -> None:
    """Write a file of workspaces with one entry, whose token is in `token`."""
    path.write_text(f'[workspaces.main]\nurl = "{url}"\nuser_id = "bot"\n{token}\n')
    path.chmod(0o600)


@pytest.mark.parametrize("verb", ["worker", "submit"])
@pytest.mark.parametrize("found", [".env", "rolecall.toml"])
@pytest.mark.parametrize("token", ['token_env = "ROCKETCHAT_AUTH_TOKEN"', 'token_file = "{}/own/token"', ""])
async def test_found_workspaces_get_no_token_of_another_place(
    tmp_path: Path, verb: str, found: str, token: str
) -> None:
    """A file that is only found may name workspaces, with tokens that are beside it; then the database is next."""
    work, world = tmp_path / "work", World()
    for folder in (work, tmp_path / "own"):
        folder.mkdir()
    for folder, content in ((tmp_path / "own", "s3cr3t"), (work, "beside")):
        (folder / "token").write_text(content)
        (folder / "token").chmod(0o600)
    write_job(work / "job.csv", [("R", "U")])
    lines = {
        ".env": "ROLECALL_WORKSPACES=ws.toml\n",
        "rolecall.toml": f'[{verb}]\nworkspaces = "ws.toml"\n',
    }
    (work / found).write_text(lines[found])
    async with Sandbox(world) as sandbox:
        write_workspaces(work / "ws.toml", sandbox.url, token.format(tmp_path) or 'token_file = "token"')
        env = environment(sandbox.url, ROLECALL_DATABASE_URL=DATABASE)
        words = (verb, "job.csv") if verb == "submit" else (verb,)
        ended = await rolecall(*words, cwd=work, env=env)
    assert world.calls == []
    assert ended.code != 0
    if token:
        assert "ws.toml is named in" in ended.stderr
        assert "working directory may not have the tokens" in ended.stderr
    else:
        assert "Cannot connect to the database" in ended.stderr


@pytest.mark.parametrize("where", ["..", "."])
async def test_the_place_of_found_workspaces_does_not_matter(tmp_path: Path, where: str) -> None:
    """They get no variable as a token from a directory above either; a token beside them is theirs."""
    work, world = tmp_path / "work", World()
    work.mkdir()
    write_job(work / "job.csv", [("R", "U")])
    (work / ".env").write_text(f"ROLECALL_WORKSPACES={where}/ws.toml\n")
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url, ROLECALL_DATABASE_URL=DATABASE)
        write_workspaces(work / where / "ws.toml", sandbox.url, 'token_env = "ROCKETCHAT_AUTH_TOKEN"')
        refused = await rolecall("submit", "job.csv", cwd=work, env=env)
        write_workspaces(work / where / "ws.toml", sandbox.url, 'token_file = "token"')
        (work / where / "token").write_text("beside")
        (work / where / "token").chmod(0o600)
        ended = await rolecall("submit", "job.csv", cwd=work, env=env)
    assert world.calls == []
    assert "working directory may not have the tokens" in refused.stderr
    assert "Cannot connect to the database" in ended.stderr


@pytest.mark.parametrize("verb", ["worker", "submit"])
@pytest.mark.parametrize("place", ["own", "work"])
async def test_a_found_database_gets_no_worker_of_other_workspaces(tmp_path: Path, verb: str, place: str) -> None:
    """The runs of a database that a `.env` names are not carried out with a token of another place."""
    for folder in ("own", "work"):
        (tmp_path / folder).mkdir()
    write_job(tmp_path / "work/job.csv", [("R", "U")])
    (tmp_path / "work/.env").write_text(f"ROLECALL_DATABASE_URL={DATABASE}\n")
    async with Sandbox(World()) as sandbox:
        write_workspaces(tmp_path / place / "ws.toml", sandbox.url, 'token_env = "ROCKETCHAT_AUTH_TOKEN"')
        words = (verb, "job.csv") if verb == "submit" else (verb,)
        env = environment(sandbox.url)
        ended = await rolecall(*words, "--workspaces", tmp_path / place / "ws.toml", cwd=tmp_path / "work", env=env)
    assert ended.code != 0
    if place == "own":
        assert "ROLECALL_DATABASE_URL comes from .env" in ended.stderr
    else:
        assert "Cannot connect to the database" in ended.stderr
