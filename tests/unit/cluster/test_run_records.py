"""What an operator sees of a run of the database: its state, its problem, its sessions."""

from typing import Any

import pytest

from rolecall.app.errors import OperatorError
from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.views.database_run_view import database_run_cells, database_run_json, exit_code_of_database_run
from rolecall.cluster.runs.records import (
    ListedDatabaseRun,
    RunRecord,
    RunState,
    WorkingHost,
    describe_run,
    parse_run_id,
)
from rolecall.cluster.runs.reports import WorkerSession, merge_sessions
from rolecall.cluster.runs.settings import limits_from_json, limits_to_json
from rolecall.engine.removal_limits import NO_LIMITS, RemovalLimits, RemovalThreshold
from rolecall.store.records import Session
from rolecall.store.rows import Group

RECORD = RunRecord(
    run_id=17,
    workspace="main",
    url="https://chat.example.org",
    operation="groups.removeLeader",
    job_digest="digest",
    account="",
    reason="",
    parent=None,
    schedule=None,
    due_at=None,
    is_released=True,
    stop="",
    stop_detail="",
    created_at=1_000_000,
    ended_at=None,
    settings={},
    shards=2,
    shards_done=1,
    at=1_100_000,
)
GROUPS = [
    Group("job", "removed", "", 0, "response", 5),
    Group("job", "failed", "forbidden", 0, "", 1),
    Group("job", "", "", 1, "", 2),
    Group("job", "", "", 0, "", 4),
]
HOST = WorkingHost("host-1-abc", "host", "office", 1)


def described(record: RunRecord = RECORD, *, works: bool = False, served: tuple[str, ...] = ("main",)) -> Any:
    """Return a run with these rows."""
    return describe_run(record, GROUPS, [HOST] if works else [], 6, served)


@pytest.mark.parametrize(
    ("changes", "works", "state"),
    [
        ({"is_released": False}, False, RunState.PREPARING),
        ({}, False, RunState.QUEUED),
        ({}, True, RunState.RUNNING),
        ({"stop": "interrupted"}, True, RunState.STOPPED),
        ({"ended_at": 1_050_000}, False, RunState.FINISHED),
        ({"stop": "refused", "is_released": False, "ended_at": 1}, False, RunState.STOPPED),
    ],
)
def test_the_state_of_a_run(changes: dict[str, Any], works: bool, state: RunState) -> None:
    """A stop is shown first, then the end, then whether a worker has a part of it."""
    assert described(RECORD._replace(**changes), works=works).state is state


@pytest.mark.parametrize(
    ("changes", "works", "problem"),
    [
        ({}, False, ""),
        (
            {"refusal": "the run is of the account a"},
            False,
            "a worker leaves it to others: the run is of the account a",
        ),
        ({"refusal": "the run is of the account a"}, True, ""),
        ({"is_released": False}, False, ""),
        (
            {"is_released": False, "is_abandoned": True},
            False,
            "its submission was ended, nothing was sent: 'rolecall runs stop 17' deletes it",
        ),
        ({"stop": "interrupted", "stop_detail": "by hand", "refusal": "why"}, False, "by hand"),
    ],
)
def test_why_a_run_needs_a_person(changes: dict[str, Any], works: bool, problem: str) -> None:
    """Only what a person can change is a problem; a run that another worker serves has none."""
    assert described(RECORD._replace(**changes), works=works).problem == problem


def test_rows_in_flight_are_not_done() -> None:
    """While workers work, rows whose call is in flight have no outcome; at rest they are unknown."""
    running, queued = described(works=True), described()
    assert (running.progress.done, running.progress.in_flight, running.progress.total) == (6, 2, 12)
    assert queued.progress.outcomes["unknown"] == 2
    assert running.progress.per_second == pytest.approx(6 / 60)


@pytest.mark.parametrize(
    ("changes", "served", "problem"),
    [
        ({}, ("main",), ""),
        ({}, ("other",), "no worker has credentials for main at https://chat.example.org"),
        ({"ended_at": 1}, (), ""),
        ({"is_released": False}, (), ""),
        (
            {"is_released": False, "schedule": "nightly"},
            (),
            "no worker has credentials for main at https://chat.example.org",
        ),
        ({"stop": "max_failures", "stop_detail": "too many"}, (), "too many"),
    ],
)
def test_why_a_run_does_not_go_on(changes: dict[str, Any], served: tuple[str, ...], problem: str) -> None:
    """A run that waits for a worker with the token of its workspace says so; one that has ended needs none."""
    assert described(RECORD._replace(**changes), served=served).problem == problem


@pytest.mark.parametrize(
    ("stop", "counts", "code"),
    [
        ("", GROUPS[:1], ExitCode.OK),
        ("", GROUPS[:2], ExitCode.ROW_FAILURES),
        ("credentials", GROUPS, ExitCode.CREDENTIALS),
        ("interrupted", GROUPS, ExitCode.INTERRUPTED),
        ("max_failures", GROUPS, ExitCode.STOPPED),
        ("refused", [], ExitCode.USAGE),
    ],
)
def test_a_run_that_was_waited_for_ends_as_on_one_machine(stop: str, counts: list[Group], code: ExitCode) -> None:
    """The exit code follows from the stop, else from the rows."""
    run: ListedDatabaseRun = describe_run(RECORD._replace(stop=stop, ended_at=2), counts, [], 0, ())
    assert exit_code_of_database_run(run) is code


def test_a_run_is_named_in_lists_and_documents() -> None:
    """The column `where` has what `runs show` takes."""
    run = described(works=True)
    assert database_run_cells(run)[-1] == "run 17"
    document = database_run_json(run)
    assert isinstance(document, dict)
    assert (document["where"], document["run"], document["state"]) == ("run 17", 17, "running")
    assert document["workers"] == [{"worker": "host-1-abc", "host": "host", "egress": "office", "shards": 1}]


@pytest.mark.parametrize("text", ["17", " 17 ", "run 17"])
def test_the_id_of_a_run_is_parsed(text: str) -> None:
    """An id is taken as it is printed, and as it is listed."""
    assert parse_run_id(text) == 17


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "run", "x", "٣", "9" * 30, "1" * 5000])
def test_what_is_no_id_is_refused(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(OperatorError, match="is no id of a run"):
        parse_run_id(text)


def session(start: int, end: int | None, worker: str = "a", stop: str = "") -> WorkerSession:
    """Return the start of a shard, with times in seconds."""
    return WorkerSession(start * 1000, None if end is None else end * 1000, stop, "bot", worker, start)


@pytest.mark.parametrize(
    ("sessions", "merged"),
    [
        ([], []),
        ([session(0, 10), session(10, 20), session(21, 30)], [(0, 30, "")]),
        ([session(0, 10), session(1, 12, "b"), session(11, 20), session(13, 19, "b")], [(1, 19, ""), (0, 20, "")]),
        ([session(0, 10), session(200, 210)], [(0, 10, ""), (200, 210, "")]),
        ([session(0, 10, stop="interrupted"), session(11, 20)], [(0, 10, "interrupted"), (11, 20, "")]),
        ([session(0, 10), session(10, None), session(12, 40, "b")], [(0, None, ""), (12, 40, "")]),
        ([session(0, 10, worker=""), session(11, 20, worker="")], [(0, 10, ""), (11, 20, "")]),
    ],
)
def test_the_starts_of_a_worker_are_one_session(
    sessions: list[WorkerSession], merged: list[tuple[int, int | None, str]]
) -> None:
    """Work without a break is one session; a stop, a crash and a pause end it; the last one is what ended last."""
    found = merge_sessions(sessions)
    assert found == [
        Session(start * 1000, None if end is None else end * 1000, stop, "bot") for start, end, stop in merged
    ]


@pytest.mark.parametrize(
    "limits",
    [
        NO_LIMITS,
        RemovalLimits(RemovalThreshold(80, is_percent=True), None, 0, 100),
        RemovalLimits(RemovalThreshold(5, is_percent=False), RemovalThreshold(12.5, is_percent=True), 2),
    ],
)
def test_limits_survive_the_database(limits: RemovalLimits) -> None:
    """The limits of a scheduled run are those that were set when the schedule was added."""
    assert limits_from_json(limits_to_json(limits)) == limits
