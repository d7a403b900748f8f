"""What the library raises before anything is sent: typed, one clear line, nothing left behind, no token."""

import traceback
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from rolecall import (
    AuthenticationError,
    CaFileError,
    ConnectionConfig,
    Credentials,
    InvalidRunDirectoryError,
    InvalidStoreError,
    InvalidUrlError,
    RunLockedError,
    WorkspaceUnavailableError,
    change_roles,
)
from rolecall.sandbox import Fault, FaultMatch, Kind, Sandbox, leader_world
from tests.support.command import many
from tests.support.library import FAST, HASTY, at, first
from tests.support.truth import changing_calls

PAIRS = many(20)
SECRET = "a-token-nobody-may-see"  # made up


def test_a_workspace_never_shows_its_token() -> None:
    """The token is in no representation, and comparing and copying work all the same."""
    who = Credentials("id", SECRET)
    assert SECRET not in repr(who) + str(who) + f"{who}"
    assert who == Credentials("id", SECRET)
    where = ConnectionConfig("https://chat.example.org/api/v1/")
    assert where.url == "https://chat.example.org"
    assert where == ConnectionConfig("https://chat.example.org")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: ConnectionConfig("chat.example.org"), InvalidUrlError),
        (lambda: ConnectionConfig("http://chat.example.org"), InvalidUrlError),
        (lambda: Credentials("", SECRET), AuthenticationError),
        (lambda: Credentials("id", ""), AuthenticationError),
        (lambda: Credentials("id", f"{SECRET}\r\nX-More: 1"), AuthenticationError),
        (lambda: Credentials("two words", SECRET), AuthenticationError),
    ],
)
def test_what_can_be_no_workspace_is_refused_at_once(make: Callable[[], object], error: type[Exception]) -> None:
    """An address or a token that cannot be used is told when it is named, not in the middle of the night."""
    with pytest.raises(error) as told:
        make()
    assert SECRET not in str(told.value)
    assert "\n" not in str(told.value)


async def test_a_refused_token(tmp_path: Path) -> None:
    """Nothing but the first call is made, nothing is left in the folder, and no traceback shows the token."""
    async with Sandbox(leader_world(PAIRS)) as sandbox:
        where = at(sandbox, token=SECRET)
        with pytest.raises(AuthenticationError, match="refuses the credentials") as told:
            await anext(change_roles(PAIRS, **where, folder=tmp_path, settings=FAST))
        assert len(sandbox.world.calls) == 1
    shown = "".join(traceback.TracebackException.from_exception(told.value, capture_locals=True).format())
    assert SECRET not in shown
    assert "change_roles" in shown
    assert list(tmp_path.iterdir()) == []


async def test_a_workspace_that_is_away(tmp_path: Path) -> None:
    """A server that cannot answer, and an address where nothing answers, are told apart."""
    faults = [Fault(Kind.STATUS, FaultMatch(route="me"), status=503)]
    async with Sandbox(leader_world(PAIRS), faults=faults) as sandbox:
        where = at(sandbox)
        with pytest.raises(WorkspaceUnavailableError):
            await anext(change_roles(PAIRS, **where, folder=tmp_path, settings=FAST))
    with pytest.raises(InvalidUrlError, match="Nothing usable answers"):
        await anext(change_roles(PAIRS, **where, folder=tmp_path, settings=FAST))
    assert list(tmp_path.iterdir()) == []


async def test_authorities_that_are_none(tmp_path: Path) -> None:
    """A file of certificate authorities that holds none is refused."""
    pem = tmp_path / "ca.pem"
    pem.write_text("nothing")
    where, who = ConnectionConfig("https://chat.example.org", ca_file=str(pem)), Credentials("id", SECRET)
    with pytest.raises(CaFileError, match=r"ca\.pem"):
        await anext(change_roles(PAIRS, connection=where, credentials=who, settings=FAST))


async def test_a_folder_is_held_by_one_run(tmp_path: Path) -> None:
    """While a run goes on its folder is refused to another, which sends nothing; afterwards it is free."""
    silent = Fault(Kind.HANG_BEFORE, FaultMatch(user=PAIRS[-1][1]))  # so that the run cannot come to its end
    async with Sandbox(leader_world(PAIRS), faults=[silent]) as sandbox:
        run = change_roles(PAIRS, **at(sandbox), folder=tmp_path, settings=HASTY)
        async with aclosing(run):
            await anext(run)
            with pytest.raises(RunLockedError, match="Another process works on the run"):
                await anext(change_roles(PAIRS, **at(sandbox), folder=tmp_path, settings=FAST))
        await first(change_roles(PAIRS, **at(sandbox), folder=tmp_path, settings=FAST), 20)
        assert all(sandbox.world.removals(*pair) == 1 for pair in PAIRS)


async def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    """A file in the folder's place, another run's folder, and a ledger that is none are refused and left alone."""
    async with Sandbox(leader_world(PAIRS)) as sandbox:
        where = at(sandbox)
        (tmp_path / "file").write_text("mine")
        with pytest.raises(InvalidRunDirectoryError):
            await anext(change_roles(PAIRS, **where, folder=tmp_path / "file"))
        await first(change_roles(PAIRS, **where, folder=tmp_path / "run", settings=FAST), 20)
        with pytest.raises(InvalidStoreError, match="another operation"):
            await anext(change_roles(PAIRS, **where, folder=tmp_path / "run", operation="groups.addLeader"))
        (tmp_path / "other").mkdir()
        (tmp_path / "other/ledger.sqlite").write_text("mine")
        with pytest.raises(InvalidStoreError, match="not a run store"):
            await anext(change_roles(PAIRS, **where, folder=tmp_path / "other"))
        assert len(changing_calls(sandbox.world)) == len(PAIRS)
    assert (tmp_path / "other/ledger.sqlite").read_text() == "mine"


async def test_rows_that_raise(tmp_path: Path) -> None:
    """What the iterable raises reaches the caller; nothing was sent and nothing is left."""

    def rows() -> object:
        yield PAIRS[0]
        raise ZeroDivisionError

    async with Sandbox(leader_world(PAIRS)) as sandbox:
        with pytest.raises(ZeroDivisionError):
            await anext(change_roles(rows(), **at(sandbox), folder=tmp_path))  # type: ignore[arg-type]
        assert sandbox.world.calls == []
    assert list(tmp_path.iterdir()) == []
