"""What `from rolecall import ...` offers: cheap to import, complete, and typed for programs under mypy --strict."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import rolecall
from rolecall import api
from rolecall.rocketchat.operations import OPERATIONS

GOOD = """
import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from rolecall import ConnectionConfig, Credentials, FailureThreshold, Outcome, Result, RunStopped, Settings, StopReason
from rolecall import change_roles

async def rows() -> AsyncIterator[tuple[str, str]]:
    yield "room", "user"

async def main(connection: ConnectionConfig, credentials: Credentials) -> Outcome | StopReason | None:
    run = change_roles(
        rows(), connection=connection, credentials=credentials, folder="run",
        settings=Settings(max_failures=FailureThreshold(5, False)),
    )
    reveal_type(run)
    try:
        async for result in run:
            reveal_type(result)
            return result.outcome
        async for result in change_roles([{"roomId": "R"}], connection=connection, credentials=credentials):
            pass
    except RunStopped as stopped:
        return stopped.reason
    return None
"""
BAD = """
import rolecall
from rolecall import ConnectionConfig, Credentials, change_roles

rolecall.change_rolls
Credentials("id")
where, who = ConnectionConfig("https://chat.example.org"), Credentials("id", "token")
change_roles([("R", "u")], connection=where, credentials=who, operation="groups.removeAll")
change_roles([7], connection=where, credentials=who)
"""


def test_the_names_are_those_of_the_library() -> None:
    """The package offers exactly what the library does, and its version."""
    assert set(rolecall.__all__) == {*api.__all__, "__version__"}
    for name in api.__all__:
        assert getattr(rolecall, name) is getattr(api, name)
    assert set(rolecall.__all__) <= set(dir(rolecall))


def test_an_unknown_name_is_an_error() -> None:
    """A misspelt name is told as one."""
    with pytest.raises(AttributeError, match="no attribute 'change_rolls'"):
        _ = rolecall.change_rolls  # type: ignore[attr-defined] # that is what is tested


def test_the_operations_typed_are_those_there_are() -> None:
    """The names that a type checker lets through are the keys of the table."""
    assert set(get_args(api.OperationName)) == set(OPERATIONS)


def test_importing_the_package_imports_nothing_else() -> None:
    """Only the first use of a name loads the library."""
    program = (
        "import sys, rolecall\n"
        "ours = [name for name in sys.modules if name.startswith('rolecall.') and name != 'rolecall.version']\n"
        "assert not ours, ours\n"
        "from rolecall import change_roles\n"
        "assert 'rolecall.api' in sys.modules and 'aiohttp' in sys.modules\n"
        "assert 'uvloop' not in sys.modules and 'rich' not in sys.modules and 'click' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_name_is_typed(tmp_path: Path) -> None:
    """A program that uses the library passes mypy --strict, and one that misuses it is told each mistake."""
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(GOOD)
    bad.write_text(BAD)
    words = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(good), str(bad)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    told = [line.partition("good.py:")[2] for line in done.stdout.splitlines() if "good.py" in line]
    assert [line for line in told if "error" in line] == []
    assert any("AsyncGenerator[" in line and "Result" in line for line in told)
    mistakes = [line for line in done.stdout.splitlines() if "bad.py" in line and "error" in line]
    assert len(mistakes) == 4, done.stdout
    for line, word in zip(mistakes, ("change_rolls", "token", "groups.removeAll", "int"), strict=True):
        assert word in line
