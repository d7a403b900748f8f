"""Without the extra `cluster` each of its commands says in one line what to install; nothing else changes."""

import shlex
from pathlib import Path

import pytest

from rolecall.app.errors import OperatorError
from rolecall.cli.commands.runs import read_database
from rolecall.cli.config import database_url
from rolecall.cli.help import EXAMPLES
from rolecall.cli.main import CLUSTER_VERBS, rolecall


@pytest.fixture(autouse=True)
def without_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the libraries of the extra seem to be missing, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(database_url, "find_spec", lambda _: None)


@pytest.mark.parametrize("verb", sorted(CLUSTER_VERBS))
def test_a_command_names_the_extra(verb: str, tmp_path: Path) -> None:
    """It is refused in one line, before anything is read or connected to."""
    for name in ("job.csv", "workspaces.toml", "leavers.txt"):
        (tmp_path / name).write_text("roomId,userId\na,b\n")
    (tmp_path / "runs/job/20260301T090000Z").mkdir(parents=True)
    words = [word.replace("/etc/rolecall/", "") for word in shlex.split(EXAMPLES[verb][0])[1:]]
    with pytest.raises(OperatorError) as refused:
        rolecall.main(args=words, standalone_mode=False, obj=tuple(words))
    assert str(refused.value) == f"rolecall {verb} needs the extra 'cluster': pip install 'rolecall[cluster]'."


def test_runs_of_this_machine_are_listed_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`rolecall runs` needs the extra only where a database is named."""
    assert read_database(None, 20) == []
    monkeypatch.setenv("ROLECALL_DATABASE_URL", "postgresql:///x")
    with pytest.raises(OperatorError, match="rolecall runs needs the extra 'cluster'"):
        read_database(None, 20)
