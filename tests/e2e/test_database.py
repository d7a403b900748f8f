"""`rolecall database`: the installed command against a real server."""

import json
import sys
from pathlib import Path

from tests.support.command import Ended, finish, rolecall, start
from tests.support.postgres import Database, shared_server


def env(url: str, **more: str) -> dict[str, str]:
    """Return the environment of a command for a database."""
    return {"PATH": "/usr/bin:/bin", "ROLECALL_DATABASE_URL": url, **more}


async def database(*words: str, cwd: Path, url: str, **more: str) -> Ended:
    """Run `rolecall database`."""
    return await rolecall("database", *words, cwd=cwd, env=env(url, **more))


async def test_a_database_from_the_beginning_to_its_pruning(tmp_path: Path) -> None:
    """`check` fails until `init` has created the tables; `upgrade` finds nothing to do; `prune` needs consent."""
    empty = shared_server().create_database()
    before = await database("check", cwd=tmp_path, url=empty.url)
    assert before.code == 2
    assert "'rolecall database init' creates the tables" in before.stderr
    made = await database("init", cwd=tmp_path, url=empty.url)
    assert made.code == 0
    assert "schema        version 1" in made.stdout
    for verb in ("check", "upgrade"):
        ended = await database(verb, "--json", cwd=tmp_path, url=empty.url)
        assert ended.code == 0
        assert "does not wait for its disk" in ended.stderr, "the server of the tests does not"
        assert json.loads(ended.stdout)["applied"] == []
    _add_old_run(empty)
    refused = await database("prune", "--older-than", "400d", cwd=tmp_path, url=empty.url)
    assert (refused.code, "--yes deletes 1 run with 0 rows" in refused.stderr) == (2, True)
    pruned = await database("prune", "--older-than", "400d", "--yes", "--json", cwd=tmp_path, url=empty.url)
    assert (pruned.code, json.loads(pruned.stdout)) == (0, {"runs": [1], "rows": 0, "deleted": True})


def _add_old_run(database: Database) -> None:
    database.execute(
        "INSERT INTO workspace (name, url) VALUES ('main', 'u');"
        "INSERT INTO run (workspace, created_at) VALUES ('main', 1)"
    )


async def test_a_database_that_cannot_be_reached(tmp_path: Path) -> None:
    """One line with the place and the reason, exit code 4, and no password in it."""
    ended = await database("check", cwd=tmp_path, url="postgresql://me:geheim@127.0.0.1:1/rolecall")
    assert ended.code == 4
    assert ended.stderr.count("\n") == 1
    assert 'Cannot connect to the database "rolecall" at 127.0.0.1:1 as me' in ended.stderr
    assert "geheim" not in ended.stderr


async def test_an_address_in_plain_text_over_a_network(tmp_path: Path) -> None:
    """It is refused before anything is sent, with exit code 2."""
    ended = await database("init", cwd=tmp_path, url="postgresql://me@db.example.org/rolecall")
    assert ended.code == 2
    assert "add sslmode=verify-full" in ended.stderr


async def test_without_the_extra(tmp_path: Path) -> None:
    """Where the libraries are not installed one line says how to install them, with exit code 2."""
    program = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('psycopg', 'procrastinate'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name in ('psycopg', 'procrastinate') else real(name, *rest)\n"
        "from rolecall.cli.entry import main\n"
        "sys.argv[0] = 'rolecall'\n"
        "sys.exit(main())\n"
    )
    (tmp_path / "without.py").write_text(program)
    for words in (["database", "check"], ["--version"], ["run", "--help"]):
        started = await start(
            *words, cwd=tmp_path, env=env("postgresql:///x"), program=(sys.executable, str(tmp_path / "without.py"))
        )
        ended = await finish(started)
        if words[0] == "database":
            assert (ended.code, ended.stderr) == (
                2,
                "rolecall: rolecall database check needs the extra 'cluster': pip install 'rolecall[cluster]'.\n",
            )
        else:
            assert ended.code == 0
