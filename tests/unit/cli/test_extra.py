"""Without the extra `cluster` each of its commands says in one line what to install; nothing else changes."""

import shlex
from pathlib import Path

import pytest

from rolecall.cli.config import database_url
from rolecall.cli.help import EXAMPLES
from rolecall.cli.main import CLUSTER_VERBS, main

VERBS = sorted(CLUSTER_VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_names_the_extra(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with 2 and one line, before anything is read or connected to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(database_url, "find_spec", lambda _: None)
    for name in ("job.csv", "workspaces.toml", "leavers.txt"):
        (tmp_path / name).write_text("roomId,userId\na,b\n")
    (tmp_path / "runs/job/20260301T090000Z").mkdir(parents=True)
    words = shlex.split(EXAMPLES[verb][0])[1:]
    assert main([word.replace("/etc/rolecall/", "") for word in words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"rolecall: rolecall {verb} needs the extra 'cluster': pip install 'rolecall[cluster]'.\n"


def test_runs_of_this_machine_are_listed_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`rolecall runs` needs the extra only where a database is named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(database_url, "find_spec", lambda _: None)
    assert main(["runs"]) == 0
    monkeypatch.setenv("ROLECALL_DATABASE_URL", "postgresql:///x")
    assert main(["runs"]) == 2
    assert "rolecall runs needs the extra 'cluster'" in capsys.readouterr().err
