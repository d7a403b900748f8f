"""A list of names from a spreadsheet, by the installed command: checked, run, verified and undone without an id."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, Kind, Sandbox, World, organisation_world
from rolecall.sandbox.org_world import group, user
from tests.support.command import environment, outcomes, read_report, read_rows, rolecall, write_job
from tests.support.job_files import workbook

HEADER = ("Gruppe", "Benutzername", "Notiz")
ROWS = (
    ("finance-planning", "finance.lead", "Büro"),
    ("#legal-budget", "@Legal.Lead", "ausgeschieden"),
    ("Küche", "@alice:remote.example", ""),
    ("finance-planning", "finance.analyst", "nie Leiter"),
    ("#finance-planning", "Finance.Lead", "doppelt"),
)
PAIRS = {
    (group("finance-planning"), user("finance.lead")),
    (group("legal-budget"), user("legal.lead")),
    ("K1", "fed1"),
}
FAST = ("--rate", "unlimited", "--retry-backoff", "0.02")


def text_of(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a German Excel writes them."""
    file = io.StringIO()
    csv.writer(file, delimiter=";").writerows([HEADER, *rows])
    return file.getvalue()


FILES = {
    "list.xlsx": workbook([HEADER, *ROWS]),
    "utf8.csv": ("\ufeff" + text_of(ROWS)).encode(),
    "ansi.csv": text_of(ROWS).encode("cp1252"),
}


def furnished() -> World:
    """Return the organisation with a group whose display name has an umlaut, led by a user of another server."""
    world = organisation_world().world
    world.add_user("fed1", username="@alice:remote.example")
    world.add_room("K1", name="kueche").display_name = "Küche"
    world.join("K1", ACCOUNT.user_id, ("owner",))
    world.join("K1", "fed1", ("leader",))
    return world


@pytest.mark.parametrize("name", FILES)
async def test_a_list_of_names_is_checked_run_verified_and_undone(tmp_path: Path, name: str) -> None:
    """Each command works on the same list without an id; exactly the listed leaders lose the role, and get it back."""
    (tmp_path / name).write_bytes(FILES[name])
    world = furnished()
    before = world.pairs_with_role("leader")
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        checked = await rolecall("check", name, "--out", "c", "--save-plan", "plan", *FAST, cwd=tmp_path, env=env)
        assert world.pairs_with_role("leader") == before
        ran = await rolecall("run", name, "--out", "r", "--plan", "plan", *FAST, cwd=tmp_path, env=env)
        after = world.pairs_with_role("leader")
        verified = await rolecall("verify", "r", cwd=tmp_path, env=env)
        undone = await rolecall("undo", "r", *FAST, cwd=tmp_path, env=env)
    assert [ended.code for ended in (checked, ran, verified, undone)] == [0, 0, 0, 0], checked.stderr + ran.stderr
    assert before - after == PAIRS
    assert world.pairs_with_role("leader") == before
    others = {("not_leader", "not_needed"): 1, ("duplicate", "duplicate_of"): 1}
    assert outcomes(tmp_path / "c") == {("would_remove", ""): 3, **others}
    assert outcomes(tmp_path / "r") == {("removed", ""): 3, **others}
    report = read_report(tmp_path / "r")
    assert [[row[column] for column in HEADER] for row in report] == [
        ["finance-planning", "finance.lead", "Büro"],
        ["#legal-budget", "'@Legal.Lead", "ausgeschieden"],
        ["Küche", "'@alice:remote.example", ""],
        ["finance-planning", "finance.analyst", "nie Leiter"],
        ["#finance-planning", "Finance.Lead", "doppelt"],
    ]
    assert [(row["roomName"], row["username"]) for row in report] == [
        ("finance-planning", "finance.lead"),
        ("legal-budget", "legal.lead"),
        ("kueche", "'@alice:remote.example"),
        ("finance-planning", "finance.analyst"),
        ("finance-planning", "finance.lead"),
    ]
    assert [(row["roomName"], row["username"]) for row in read_report(tmp_path / "r/undo")] == [
        ("finance-planning", "finance.lead"),
        ("legal-budget", "legal.lead"),
        ("kueche", "'@alice:remote.example"),
    ]


async def test_what_cannot_be_found_is_named(tmp_path: Path) -> None:
    """A wrong name costs its own row only; the report says which name and why, and the exit code that there is one."""
    (tmp_path / "job.csv").write_text(
        "room,user\nfinance-planning,nobody\nfinanz,finance.lead\nsales-budget,sales.lead\n"
    )
    async with Sandbox(furnished()) as sandbox:
        ran = await rolecall("run", "job.csv", "--out", "r", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert ran.code == 1
    rows = read_report(tmp_path / "r")
    assert [(row["outcome"], row["reason"], row["message"], row["roomName"], row["username"]) for row in rows] == [
        ("invalid", "user_name_not_found", "There is no user @nobody.", "finance-planning", "nobody"),
        ("invalid", "room_name_not_found", "There is no private group #finanz.", "finanz", "finance.lead"),
        ("removed", "", "", "sales-budget", "sales.lead"),
    ]
    assert "room_name_not_found" in ran.stdout


async def test_names_in_id_columns_are_recognised(tmp_path: Path) -> None:
    """Where an id is refused that is a name, the line says so, with the id and what to call the column."""
    (tmp_path / "job.csv").write_text(
        "roomId,userId\nfinance-planning,userFinanceLead\nroomFinancePlanning,finance.lead\n"
    )
    room = "its id is roomFinancePlanning. Call the column roomName, or write #finance-planning."
    person = "its id is userFinanceLead. Call the column username, or write @finance.lead."
    messages = [f"finance-planning is no id but a name; {room}", f"finance.lead is no id but a name; {person}"]
    world = furnished()
    before = world.pairs_with_role("leader")
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        checked = await rolecall("check", "job.csv", "--out", "c", *FAST, cwd=tmp_path, env=env)
        ran = await rolecall("run", "job.csv", "--out", "r", *FAST, cwd=tmp_path, env=env)
    assert (checked.code, ran.code) == (1, 1)
    assert [row["message"] for row in read_report(tmp_path / "c")] == messages
    assert [row["message"] for row in read_report(tmp_path / "r")] == messages
    assert [row["reason"] for row in read_report(tmp_path / "r")] == ["room_not_found", "user_not_found"]
    assert world.pairs_with_role("leader") == before


async def test_a_rename_before_a_resume_retargets_no_row(tmp_path: Path) -> None:
    """A run with rows in doubt goes on with the rooms that it found, also if another room has the name now."""
    (tmp_path / "job.csv").write_text("room,user\nfinance-planning,finance.lead\nlegal-budget,legal.lead\n")
    world = furnished()
    faults = [Fault(Kind.STATUS, FaultMatch(route="groups.removeLeader"), times=None, status=503, html=True)]
    words = ("run", "job.csv", "--out", "r", *FAST)
    async with Sandbox(world, faults=faults) as sandbox:
        env = environment(sandbox.url)
        stopped = await rolecall(*words, "--outage-timeout", "1", cwd=tmp_path, env=env)
        assert stopped.code == 1
        sandbox.faults.faults.clear()
        world.rooms[group("finance-planning")].name = "old"
        world.add_room("R9", name="finance-planning")
        world.join("R9", ACCOUNT.user_id, ("owner",))
        world.join("R9", user("finance.lead"), ("leader",))
        calls = len(world.calls)
        resumed = await rolecall(*words, cwd=tmp_path, env=env)
        looked_up = [call for call in world.calls[calls:] if call.route == "groups.info"]
    assert resumed.code == 0, resumed.stderr
    assert looked_up == []
    assert world.is_leader("R9", user("finance.lead"))
    assert not world.is_leader(group("finance-planning"), user("finance.lead"))
    assert [row["roomName"] for row in read_report(tmp_path / "r")] == ["finance-planning", "legal-budget"]


async def test_an_outage_while_names_are_looked_up(tmp_path: Path) -> None:
    """Nothing is imported and nothing is unusable: exit code 4, no run is left, and the same command begins it."""
    (tmp_path / "job.csv").write_text("room,user\nfinance-planning,finance.lead\n")
    faults = [Fault(Kind.STATUS, FaultMatch(route="groups.info"), times=None, status=503, html=True)]
    async with Sandbox(furnished(), faults=faults) as sandbox:
        env = environment(sandbox.url)
        words = ("run", "job.csv", *FAST, "--outage-timeout", "1")
        stopped = await rolecall(*words, cwd=tmp_path, env=env)
        sandbox.faults.faults.clear()
        ran = await rolecall(*words, cwd=tmp_path, env=env)
    assert stopped.code == 4
    assert ran.code == 0, ran.stderr
    assert len(list((tmp_path / "runs/job").iterdir())) == 1


async def test_a_group_that_is_not_joined_is_named_with_its_rows(tmp_path: Path) -> None:
    """Check and run say whom to invite where, and how many rows wait for it."""
    (tmp_path / "job.csv").write_text("room,user\nlegal-incidents,legal.lead\nlegal-incidents,legal.analyst\n")
    sentence = "bulk.bot is not a member of #legal-incidents (2 rows): invite it first."
    async with Sandbox(furnished()) as sandbox:
        env = environment(sandbox.url)
        checked = await rolecall("check", "job.csv", "--out", "c", *FAST, cwd=tmp_path, env=env)
        ran = await rolecall("run", "job.csv", "--out", "r", *FAST, cwd=tmp_path, env=env)
        as_json = await rolecall("report", "r", "--json", cwd=tmp_path, env=env)
    assert sentence in checked.stdout.splitlines()
    assert sentence in ran.stdout.splitlines()
    assert json.loads(as_json.stdout)["roomsNotJoined"] == 1
    events = [json.loads(line) for line in (tmp_path / "r/run.log.jsonl").read_text().splitlines()]
    failed = [(event["room"], event["user"]) for event in events if event["event"] == "row failed"]
    assert failed == [("#legal-incidents", "@legal.lead")]


async def test_reports_for_a_german_excel(tmp_path: Path) -> None:
    """The reports have the delimiter and the byte order mark that were requested, also when they are written again."""
    (tmp_path / "job.csv").write_text(
        "room;user;note\nfinance-planning;finance.lead;a, b\nlegal-incidents;legal.lead;;\n"
    )
    async with Sandbox(furnished()) as sandbox:
        env = environment(sandbox.url)
        words = ("--out", "r", "--report-delimiter", ";", "--report-bom", *FAST)
        await rolecall("run", "job.csv", *words, cwd=tmp_path, env=env)
        first = (tmp_path / "r/report.csv").read_bytes()
        await rolecall("report", "r", cwd=tmp_path, env=env)
        again = (tmp_path / "r/report.csv").read_bytes()
        retried = await rolecall("check", "r/retry.csv", "--out", "c", *FAST, cwd=tmp_path, env=env)
        await rolecall("verify", "r", cwd=tmp_path, env=env)
        await rolecall("report", "r", "--report-delimiter", ",", cwd=tmp_path, env=env)
    assert first == again
    lines = first.decode().splitlines()
    assert lines[0].startswith("\ufeffline;roomId;userId;outcome;")
    assert lines[1].endswith(';response;finance-planning;finance.lead;finance-planning;finance.lead;"a, b"')
    assert (tmp_path / "r/retry.csv").read_bytes().startswith(b"roomId,userId,")
    assert (tmp_path / "r/verify.csv").read_text().startswith("\ufeffline;roomId;")
    assert "room_not_joined" in retried.stdout
    assert len(read_rows(tmp_path / "r/report.csv")) == 2


@pytest.mark.parametrize("name", ["@alice:remote.example", "alice:remote.example"])
async def test_users_of_other_servers_are_found(tmp_path: Path, name: str) -> None:
    """`find` takes the name of a federated user, whose name begins with the mark, and a run takes what it writes."""
    world = furnished()
    (tmp_path / "people.csv").write_text(f"username\n{name}\n")
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        found = await rolecall("find", "--users", "people.csv", "--out", "job.csv", *FAST, cwd=tmp_path, env=env)
        ran = await rolecall("run", "job.csv", "--out", "r", *FAST, cwd=tmp_path, env=env)
    assert (found.code, ran.code) == (0, 0), found.stderr + ran.stderr
    assert not world.is_leader("K1", "fed1")
    (row,) = read_report(tmp_path / "r")
    assert (row["roomName"], row["username"]) == ("kueche", "'@alice:remote.example")


async def test_a_check_that_begins_anew_looks_names_up_again(tmp_path: Path) -> None:
    """A complete check is repeated from the beginning: a name means what it means now."""
    (tmp_path / "job.csv").write_text("room,user\nfinance-planning,finance.lead\n")
    world = furnished()
    words = ("check", "job.csv", "--out", "c", *FAST)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall(*words, cwd=tmp_path, env=env)
        first = read_report(tmp_path / "c")
        world.rooms[group("finance-planning")].name = "old"
        world.rooms[group("finance-budget")].name = "finance-planning"
        await rolecall(*words, cwd=tmp_path, env=env)
        second = read_report(tmp_path / "c")
    assert [row["roomId"] for row in first] == [group("finance-planning")]
    assert [row["roomId"] for row in second] == [group("finance-budget")]


async def test_the_retry_file_of_names_has_ids(tmp_path: Path) -> None:
    """What a run left in doubt is settled by a run of its retry.csv, which needs no name."""
    (tmp_path / "job.csv").write_text("Gruppe;Benutzername\nfinance-planning;finance.lead\n")
    world = furnished()
    faults = [Fault(Kind.DROP_AFTER, FaultMatch(route="groups.removeLeader"), times=None)]
    no_proof = ("--no-read-roles", "--no-message-evidence", "--max-attempts", "1", "--outage-timeout", "1")
    async with Sandbox(world, faults=faults) as sandbox:
        env = environment(sandbox.url)
        ran = await rolecall("run", "job.csv", "--out", "r", *FAST, *no_proof, cwd=tmp_path, env=env)
        sandbox.faults.faults.clear()
        before = len(world.calls)
        again = await rolecall("run", "r/retry.csv", "--out", "again", *FAST, cwd=tmp_path, env=env)
        looked_up = [call.room_id for call in world.calls[before:] if call.route == "groups.info"]
    assert (ran.code, again.code) == (1, 0), ran.stderr + again.stderr
    (retried,) = read_rows(tmp_path / "r/retry.csv")
    assert (retried["roomId"], retried["userId"]) == (group("finance-planning"), user("finance.lead"))
    assert (retried["Gruppe"], retried["Benutzername"]) == ("finance-planning", "finance.lead")
    assert looked_up == []
    assert [row["roomName"] for row in read_report(tmp_path / "again")] == ["finance-planning"]


async def test_names_are_read_beside_ids(tmp_path: Path) -> None:
    """A job of ids has the usernames that a run reads, and the names of rooms where it reads user by user."""
    lead, analyst = user("finance.lead"), user("finance.analyst")
    rooms = ("finance-planning", "finance-budget", "finance-incidents")
    by_user = [(group(room), person) for room in rooms for person in (lead, analyst)]
    by_room = [(group("sales-budget"), user(f"sales.{name}")) for name in ("lead", "analyst", "assistant")]
    shown: dict[str, list[tuple[str, str]]] = {}
    async with Sandbox(furnished()) as sandbox:
        env = environment(sandbox.url)
        for name, pairs in (("by_user", by_user), ("by_room", by_room)):
            write_job(tmp_path / "job.csv", pairs)
            for verb in ("check", "run"):
                await rolecall(verb, "job.csv", "--out", verb + name, *FAST, cwd=tmp_path, env=env)
                shown[verb + name] = [
                    (row["roomName"], row["username"]) for row in read_report(tmp_path / (verb + name))
                ]
    expected = [(room, person) for room in rooms for person in ("finance.lead", "finance.analyst")]
    assert shown["runby_user"] == expected
    assert (
        shown["runby_room"] == shown["checkby_room"] == [("", f"sales.{n}") for n in ("lead", "analyst", "assistant")]
    )
    assert [name for _, name in shown["checkby_user"]] == [name for _, name in expected]
