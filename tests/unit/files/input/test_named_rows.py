"""Job files with names instead of ids, as people have them: each row has its room and its user by id or by name."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from rolecall.files.input.job import ReadOptions, open_job
from rolecall.files.input.source import JobFileError
from rolecall.models import BadRow, JobRow, Row
from rolecall.text import format_room, format_user
from tests.support.job_files import workbook

F_A = ("#finance", "@alice")
TWO = [F_A, ("#ops", "@bob")]
ROUNDED, LONG, CONTROL = "spoiled_by_spreadsheet", "user_id_too_long", "room_id_control_character"


class Case(NamedTuple):
    """One file, and its rows: id or `#name`, id or `@name`; or the reason why a row is unusable."""

    content: str | bytes
    rows: Sequence[tuple[str, str] | str]
    options: ReadOptions = ReadOptions()


CASES: dict[str, Case] = {
    # Headers
    "roomName and username": Case("roomName,username\nfinance,alice\nops,bob\n", TWO),
    "snake case": Case("room_name,user_name\nfinance,alice\n", [F_A]),
    "words with blanks": Case("Room Name,User Name\nfinance,alice\n", [F_A]),
    "group and user": Case("group,user\nfinance,alice\n", [F_A]),
    "channel and username": Case("channel,username\nfinance,alice\n", [F_A]),
    "#name and @name": Case("#name,@name\nfinance,alice\n", [F_A]),
    "German": Case("Gruppe;Benutzername\nfinance;alice\n", [F_A]),
    "German, other words": Case("Raumname;Nutzer\nfinance;alice\n", [F_A]),
    "German, names beside ids": Case("Raum-ID;Raum;Benutzer-ID;Benutzer\nR1;finance;U1;alice\n", [("R1", "U1")]),
    "another language": Case("salle;personne\nfinance;alice\n", [F_A], ReadOptions("", "salle", "personne")),
    "a chosen column beside ids": Case("roomId;Wer\nR1;alice\n", [("R1", "@alice")], ReadOptions("", "", "Wer")),
    "a chosen column wins": Case("roomId;Raum neu;userId\nR1;ops;U1\n", [("#ops", "U1")], ReadOptions("", "Raum neu")),
    # A mix of ids and names
    "room by id": Case("roomId,username\nR1,alice\n", [("R1", "@alice")]),
    "user by id": Case("roomName,userId\nfinance,U1\n", [("#finance", "U1")]),
    "id where there is one": Case("roomId,roomName,username\nR1,finance,alice\n,ops,bob\n", [("R1", "@alice"), TWO[1]]),
    "signs in id columns": Case("roomId,userId\n#finance,@alice\nR1,U1\n", [F_A, ("R1", "U1")]),
    "signs in name columns": Case("room,user\n#finance,@alice\n", [F_A]),
    "pair with signs": Case('["#finance","@alice"]\n["R1","U1"]\n', [F_A, ("R1", "U1")]),
    # What comes along
    "byte order mark": Case("\ufeffroomName;username\nfinance;alice\n", [F_A]),
    "sep line": Case("sep=;\r\nGruppe;Benutzername\r\nfinance;alice\r\n", [F_A]),
    "title row": Case("Leiter Mai;\n;\nGruppe;Benutzername\nfinance;alice\n", [F_A]),
    "Windows-1252": Case("Gruppe;Benutzername\nB\u00fcro;j\u00f6rg\n".encode("cp1252"), [("#B\u00fcro", "@j\u00f6rg")]),
    "UTF-16": Case("\ufeffGruppe\tBenutzername\nB\u00fcro\talice\n".encode("utf-16-le"), [("#B\u00fcro", "@alice")]),
    "workbook": Case(workbook([["Gruppe", "Benutzername"], ["finance", "alice"], ["ops", "bob"]]), TWO),
    "workbook with a title": Case(workbook([["Mai"], [], ["Gruppe", "Benutzername"], ["finance", "alice"]]), [F_A]),
    "workbook with a number as a name": Case(workbook([["room", "user"], [2024, "alice"]]), [("#2024", "@alice")]),
    "armour of a spreadsheet": Case('room,user\n="finance",\'alice\n', [F_A]),
    "apostrophe before a sign": Case("room,user\n'#finance,'@alice\n", [F_A]),
    "typographic quotes": Case("room;user\n\u201efinance\u201c;\u00bbalice\u00ab\n", [F_A]),
    "quotes after a blank": Case('room, user\n"finance", "alice"\n', [F_A]),
    "blanks and invisible characters": Case("room,user\n finance\u00a0,\u200balice \n", [F_A]),
    "Markdown table": Case("| room | user |\n| --- | --- |\n| #finance | @alice |\n", [F_A]),
    "surplus cells": Case("room;user\nfinance;alice;;\n", [F_A]),
    # Names that look like something else
    "federated": Case(
        "room,user\nfinance,@alice:remote.example\nfinance,bob:remote.example\n",
        [("#finance", "@alice:remote.example"), ("#finance", "@bob:remote.example")],
    ),
    "federated in an id column": Case("roomId,userId\nR1,@alice:remote.example\n", [("R1", "@alice:remote.example")]),
    "dots, dashes and digits": Case("room,user\nfin-2.b_1,a.b-c_1\n", [("#fin-2.b_1", "@a.b-c_1")]),
    "blanks inside": Case("room,user\nFinance Team,alice\n", [("#Finance Team", "@alice")]),
    "number of a spreadsheet": Case("room,user\n1.23E+16,alice\nfinance,alice\n", [ROUNDED, F_A]),
    "error of a spreadsheet": Case("room;user\n#NV;alice\n#N/A;alice\n", [ROUNDED, ROUNDED]),
    "too long": Case(f"room,user\nfinance,{'a' * 257}\n", [LONG]),
    "line break inside": Case('room,user\n"fin\nance",alice\n', [CONTROL]),
    "invisible character inside": Case("room,user\nfin\u200bance,alice\n", [CONTROL]),
    "no room": Case("room,user\n,alice\n#,alice\n", ["missing_room_id"] * 2),
    "no user": Case("room,user\nfinance,\n", ["missing_user_id"]),
    # Addresses
    "addresses": Case("Gruppe;E-Mail\nfinance;a.lee@example.org\n", [("#finance", "@a.lee@example.org")]),
    "addresses in a user column": Case("room,user\nfinance,a@example.org\n", [("#finance", "@a@example.org")]),
    "addresses in an id column": Case(
        "roomId,userId\nR1,a@example.org\nR1,U1\n", [("R1", "@a@example.org"), ("R1", "U1")]
    ),
    "addresses beside usernames": Case("room,email,user\nfinance,a@example.org,alice\n", [F_A]),
    "addresses beside ids": Case("roomId,email,userId\nR1,a@example.org,U1\n", [("R1", "U1")]),
    "a chosen column of addresses": Case(
        "room;Mail\nfinance;a@b.org\n", [("#finance", "@a@b.org")], ReadOptions("", "", "Mail")
    ),
    "addresses of a mail program": Case(
        "room;E-Mail\nfinance;Ada Lee <a@b.org>\nfinance;mailto:a@b.org\nfinance;a@b.org>\n",
        [("#finance", "@a@b.org")] * 2 + [("#finance", "@a@b.org>")],
    ),
    "addresses in JSON": Case(
        '[{"room":"finance","email":"a@b.org"},{"room":"ops","user":"bob","email":"b@b.org"}]',
        [("#finance", "@a@b.org"), TWO[1]],
    ),
    # JSON
    "objects": Case('[{"roomName":"finance","username":"alice"},{"room":"ops","user":"bob"}]', TWO),
    "nested objects": Case('{"room":{"name":"finance"},"user":{"username":"alice"}}\n', [F_A]),
    "the server's own shape": Case('{"name":"x","rid":"R1","u":{"username":"alice"}}\n', [("R1", "@alice")]),
    "several users": Case('[{"room":"finance","users":["alice","bob"]}]', [F_A, ("#finance", "@bob")]),
    "several rooms": Case('[{"username":"alice","rooms":["finance","ops"]}]', [F_A, ("#ops", "@alice")]),
    "users with and without ids": Case(
        '{"room":"finance","users":[{"_id":"U1"},{"username":"bob"}]}', [("#finance", "U1"), ("#finance", "@bob")]
    ),
    "two names of one room": Case('{"roomName":"finance","groupName":"ops","user":"alice"}', ["two_room_ids"]),
    "a number as a name": Case('{"room":5,"user":"alice"}\n{"room":"ops","user":"bob"}\n', ["missing_room_id", TWO[1]]),
}


def rows_of(content: str | bytes, options: ReadOptions) -> list[JobRow]:
    """Return the rows of a job file."""
    with open_job("-", io.BytesIO(content if isinstance(content, bytes) else content.encode()), options) as job:
        return list(job.rows())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_each_row_has_its_names(case: Case) -> None:
    """Each row has its room and its user, by id where the file has one and by name where not."""
    found = [
        row.reason
        if isinstance(row, BadRow)
        else (row.room_id or format_room("", row.room_name), row.user_id or format_user("", row.username))
        for row in rows_of(case.content, case.options)
    ]
    assert found == case.rows


def test_there_are_forty_cases_and_more() -> None:
    """The table covers each kind of file, and names where ids may stand."""
    assert len(CASES) > 40


def test_the_jobs_own_columns_stay() -> None:
    """Columns with names are the job's own: they are carried into the report with all others."""
    (row,) = rows_of("Gruppe;Benutzername;Notiz\n#finance;@Alice;x\n", ReadOptions())
    assert row.extra == {"Gruppe": "#finance", "Benutzername": "@Alice", "Notiz": "x"}


@pytest.mark.parametrize(
    "content", ["roomId,userId,email\nR1,U1,a@b.org\n", '{"roomId":"R1","userId":"U1","email":"a@b.org"}']
)
def test_an_address_beside_an_id_is_a_column_of_the_job(content: str) -> None:
    """It names nobody, and is no username in the report."""
    assert rows_of(content, ReadOptions()) == [Row(2 if "," in content[:7] else 1, "R1", "U1", {"email": "a@b.org"})]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("Abteilung;Person\nfinance;alice\n", "--room-column NAME and --user-column NAME"),
        ("Gruppe,Gruppenname,Raumname,user\na,b,c,d\n", "'Gruppenname', 'Raumname'; keep one"),
        ("Gruppe:Benutzername\nfinance:alice\n", "separated by ':'"),
        ('"Gruppe;Benutzername"\n"finance;alice"\n', "each line is in quotes as a whole"),
    ],
)
def test_a_file_is_refused_with_the_next_step(content: str, problem: str) -> None:
    """The refusal is one line that says what to do."""
    with pytest.raises(JobFileError) as refused:
        rows_of(content, ReadOptions())
    assert problem in str(refused.value)
    assert str(refused.value).isprintable()
