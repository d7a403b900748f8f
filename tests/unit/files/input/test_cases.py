"""Job files as people have them: each kind is taken with the right pairs, or refused in one line with the next step."""

import gzip
import io
import sys
from typing import NamedTuple

import pytest

from rolecall.files.input.job import ReadOptions, open_job
from rolecall.files.input.source import JobFileError
from rolecall.models import BadRow, Row
from tests.support.job_files import raw_workbook, workbook

Taken = list[tuple[str, str] | str]
"""For each row its pair, or the reason why it is unusable."""


class Read(NamedTuple):
    """What was read of a file."""

    rows: list[Row | BadRow]
    warnings: list[str]


def read(content: bytes, options: ReadOptions = ReadOptions()) -> Read:  # noqa: B008 - it is frozen
    """Return the rows of a job file and the warnings about it."""
    warnings: list[str] = []
    with open_job("-", io.BytesIO(content), options, warnings.append) as job:
        rows = list(job.rows())
        assert list(job.rows()) == rows
    return Read(rows, warnings)


def encode(content: str | bytes) -> bytes:
    """Return a case as bytes."""
    return content if isinstance(content, bytes) else content.encode()


ONE: Taken = [("R1", "U1")]
TWO: Taken = [("R1", "U1"), ("R2", "U3")]
ROUNDED, ROOM_NAME, USER_NAME = "spoiled_by_spreadsheet", "room_name_only", "user_name_only"

TAKEN: dict[str, tuple[str | bytes, Taken]] = {
    # Lines before the header
    "sep line": ("sep=;\r\nroomId;userId;note\r\nR1;U1;x\r\nR2;U3;y\r\n", TWO),
    "sep line in quotes": ('"sep=;"\r\nroomId;userId\r\nR1;U1\r\n', ONE),
    "sep line of a tab": ("sep=\t\nroomId\tuserId\nR1\tU1\n", ONE),
    "sep line of another sign": ("sep=^\nroomId^userId\nR1^U1\n", ONE),
    "sep line with byte order mark": ("\ufeffsep=;\r\nroomId;userId\r\nR1;U1\r\n", ONE),
    "#TYPE line": ('#TYPE System.Management.Automation.PSCustomObject\r\n"roomId","userId"\r\n"R1","U1"\r\n', ONE),
    "comments": ("# leaders, May\n# by me\nroomId,userId\nR1,U1\n", ONE),
    "title and blank rows": ("Leaders in May;;\n;;\nroomId;userId;note\nR1;U1;x\n", ONE),
    # Invisible characters
    "byte order mark twice": (b"\xef\xbb\xbf\xef\xbb\xbfroomId,userId\r\nR1,U1\r\n", ONE),
    "byte order mark read as Windows-1252": ("\u00ef\u00bb\u00bfroomId,userId\nR1,U1\n", ONE),
    "UTF-16 with byte order mark twice": ("\ufeff\ufeffroomId\tuserId\nR1\tU1\n".encode("utf-16-le"), ONE),
    "JSON with byte order mark twice": ('\ufeff\ufeff[{"roomId":"R1","userId":"U1"}]', ONE),
    "zero width space in the header": ("room\u200bId,userId\u200b\nR1,U1\n", ONE),
    "invisible characters around ids": ("roomId\u00a0,\u2060userId\nR1\u00a0,\ufeffU1\u200b\n\u00adR2,U3\u200e\n", TWO),
    "invisible character inside an id": ("roomId,userId\nR\u200b1,U1\nR2,U3\n", ["room_id_control_character", TWO[1]]),
    "soft hyphen inside an id": ('["R1","U1"]\n["R2","U\u00ad3"]\n', [ONE[0], "user_id_control_character"]),
    # What a spreadsheet does
    "formula that keeps text": ('roomId,userId\n"=""R1""","=""U1"""\n="R2",="U3"\n', TWO),
    "apostrophe in front": ("roomId,userId\n'R1,'U1\nR2,U3\n", TWO),
    "rounded numbers": ("roomId,userId\n1.23457E+16,2.34568E+23\nR2,U3\n", [ROUNDED, TWO[1]]),
    "rounded number, German": ("roomId;userId\n1,23457E+16;U1\n", [ROUNDED]),
    "rounded number, pandas": ("roomId,userId\nR1,1.2e+16\n", [ROUNDED]),
    "errors of formulas": ("roomId,userId\n#N/A,U1\nR1,#NV\n#REF!,U1\n", [ROUNDED] * 3),
    "empty surplus cells": ("roomId;userId\nR1;U1;;;\nR2;U3; ;\n", TWO),
    "empty columns of a sheet": (f"roomId;userId{';' * 16_000}\nR1;U1{';' * 16_000}\n", ONE),
    # Quotes
    "typographic quotes": ("roomId,userId\n\u201cR1\u201d,\u201cU1\u201d\nR2,U3\n", TWO),
    "German and French quotes": ("roomId;userId\n\u201eR1\u201c;\u00bbU1\u00ab\n\u00abR2\u00bb;\u201aU3\u2018\n", TWO),
    "single quotes": ("'roomId','userId'\n'R1','U1'\n", ONE),
    "single quotes with a delimiter inside": ("'roomId','userId','note'\n'R1','U1','a, b'\n", ONE),
    "blank before a quote": ('roomId, userId\n"R1", "U1"\nR2, "U3"\n', TWO),
    "blank before a quote with a delimiter inside": ('roomId, userId, note\n"R1", "U1", "a, b"\n', ONE),
    # Drawn tables
    "Markdown table": ("| roomId | userId |\n| --- | --- |\n| R1 | U1 |\n", ONE),
    "Markdown table, aligned, with code": ("| roomId | userId |\n|:--|--:|\n| `R1` | `U1` |\n", ONE),
    "Markdown table without outer bars": ("roomId | userId\n--- | ---\nR1 | U1\n", ONE),
    "MySQL table": ("+-----+-----+\n| rid | uid |\n+-----+-----+\n| R1  | U1  |\n+-----+-----+\n", ONE),
    # Columns of exports
    "mongoexport CSV": ('rid,u._id,u.username,roles\nR1,U1,alice,"[""leader""]"\n', ONE),
    "dotted columns": ("room._id,user._id\nR1,U1\n", ONE),
    "a comma in the header, semicolons below": ("roomId,userId\nR1;U1\nR2,U3\n", ["missing_user_id", TWO[1]]),
    # Names
    "names": ("roomName,username\nfinance,alice\n", [ROOM_NAME]),
    "names, vague": ("Room;User\nfinance;alice\n", [ROOM_NAME]),
    "names in id columns": (
        "roomId,userId\n#finance,U1\nR1,@alice\nR1,@alice:remote.example\n",
        [ROOM_NAME, *[USER_NAME] * 2],
    ),
    "names beside ids": ("roomId,roomName,userId,username\nR1,finance,U1,alice\n,#ops,U2,\n", [ONE[0], ROOM_NAME]),
    "names in a pair": ('["#finance","U1"]\n["R1","U1"]\n', [ROOM_NAME, ONE[0]]),
    # Encodings
    "Windows-1252": ("Raum;roomId;userId\nB\u00fcro;R1;U1\n\u201eK\u00fcche\u201c;R2;U3\n".encode("cp1252"), TWO),
    "Windows-1252, JSON": ('[{"room":"B\u00fcro","roomId":"R1","userId":"U1"}]'.encode("cp1252"), ONE),
    "Windows-1252, gzip": (gzip.compress("roomId;userId;n\nR1;U1;\u00fc\n".encode("cp1252")), ONE),
    # JSON: where the rows are
    "the server's answer": (
        '{"roles": [{"_id": "s1", "rid": "R1", "u": {"_id": "U1", "username": "alice"}, "roles": ["leader"]}]}',
        ONE,
    ),
    "results": ('{"results": [{"roomId": "R1", "userId": "U1"}], "count": 1}', ONE),
    "data in data": ('{"data": {"results": [{"rid": "R1", "uid": "U1"}]}}', ONE),
    "wrapped pairs": ('{"pairs": [["R1", "U1"], ["R2", "U3"]]}', TWO),
    "arrays one after another": ('[{"roomId":"R1","userId":"U1"}]\n[{"roomId":"R2","userId":"U3"}]\n', TWO),
    "arrays without a line break": ('[{"roomId":"R1","userId":"U1"}][{"roomId":"R2","userId":"U3"}]', TWO),
    "array of arrays": ('[[{"roomId":"R1","userId":"U1"}],[{"roomId":"R2","userId":"U3"}]]', TWO),
    "pages on lines": (
        '{"roles":[{"rid":"R1","u":{"_id":"U1"}}]}\n{"roles":[{"rid":"R2","u":{"_id":"U3"}}]}\n{"roles":[]}\n',
        TWO,
    ),
    "pages on several lines": (
        '{\n "roles": [\n  {"rid": "R1", "u": {"_id": "U1"}}\n ],\n "ok": true\n}\n{\n "roles": [["R2", "U3"]]\n}\n',
        TWO,
    ),
    "objects on several lines": ('{\n "rid": "R1",\n "uid": "U1"\n}\n{\n "rid": "R2",\n "uid": "U3"\n}\n', TWO),
    "lines with commas": ('{"roomId":"R1","userId":"U1"},\n{"roomId":"R2","userId":"U3"},\n', TWO),
    "pairs with commas": ('["R1","U1"],\n["R2","U3"],\n', TWO),
    "record separators": ('\x1e{"rid":"R1","uid":"U1"}\n\x1e{"rid":"R2","uid":"U3"}\n', TWO),
    "record separators, several lines": ('\x1e{\n"rid":"R1","uid":"U1"}\n\x1e{\n"rid":"R2","uid":"U3"}\n', TWO),
    # JSON: what a row is
    "mongoexport JSONL": (
        (
            '{"_id":"s1","rid":"R1","u":{"_id":"U1","username":"alice"},"roles":["leader"]}\n'
            '{"_id":"s2","rid":"R2","u":{"_id":"U3","username":"bob"},"roles":["leader"]}\n'
        ),
        TWO,
    ),
    "$oid": ('{"_id":{"$oid":"5"},"rid":{"$oid":"R1"},"u":{"_id":{"$oid":"U1"}}}\n', ONE),
    "nested objects": ('[{"room":{"_id":"R1"},"user":{"_id":"U1"}}]', ONE),
    "array of users": ('[{"roomId":"R1","userIds":["U1","U2"]}]', [("R1", "U1"), ("R1", "U2")]),
    "array under userId": (
        '[{"roomId":"R1","userId":["U1","U2"]},{"roomId":"R2","userId":"U3"}]',
        [("R1", "U1"), ("R1", "U2"), ("R2", "U3")],
    ),
    "array of user objects": (
        '{"roomId":"R1","users":[{"_id":"U1","username":"alice"},{"username":"bob"}]}',
        [("R1", "U1"), USER_NAME],
    ),
    "array of names": ('{"room":"finance","members":["alice","bob"]}', [ROOM_NAME] * 2),
    "array of rooms": ('{"userId":"U1","roomIds":["R1","R2"]}', [("R1", "U1"), ("R2", "U1")]),
    "arrays of both": ('{"userIds":["U1","U2"],"roomIds":["R1","R2"]}', ["several_of_both"]),
    "two rooms": ('{"rid":"R1","room":{"_id":"R2"},"uid":"U1"}', ["two_room_ids"]),
    # JSON: a key twice
    "a key twice": ('[{"roomId":"R9","userId":"U1","roomId":"R1"}]', ["two_room_ids"]),
    "a key twice in a line": (
        '{"roomId":"R9","userId":"U1","roomId":"R1"}\n{"roomId":"R2","userId":"U3"}\n',
        ["two_room_ids", TWO[1]],
    ),
    "a key twice, blanks": (
        '{"rid":"R9","uid":"U1","rid"\t:"R1"}\n{"rid" :"R2","uid" : "U3"}\n',
        ["two_room_ids", TWO[1]],
    ),
    "a key twice, colons in texts": (
        '{"rid":"R1","uid":"U9","n":"\\":","uid":"U1"}\n["R2","U3"]',
        ["two_user_ids", TWO[1]],
    ),
    "a key twice, nested": ('{"rid":"R1","u":{"_id":"U9","_id":"U1"}}', ["two_user_ids"]),
    "another key twice": ('{"rid":"R1","uid":"U1","n":1,"n":2}', ["repeated_key"]),
    "a key twice on several lines": (
        '{\n"rid":"R9",\n"rid":"R1",\n"uid":"U1"\n}\n{"rid":"R2","uid":"U3"}',
        ["two_room_ids", TWO[1]],
    ),
    "NaN in a later line": ('["R1","U1"]\n{"rid":"R2","uid":"U3","x":NaN}\n', [ONE[0], "not_json"]),
    # Workbooks
    "workbook": (workbook([["roomId", "userId", "n"], ["R1", "U1", 5], ["R2", "U3", True]]), TWO),
    "workbook, not in the corner": (workbook([["Title"], [], ["Room ID", "User ID"], ["R1", "U1"]], first=(3, 2)), ONE),
    "workbook with numbers as ids": (
        workbook([["rid", "uid"], [12345, "U1"], [12345678901234567, "U1"]]),
        [("12345", "U1"), ROUNDED],
    ),
    "workbook with a hidden sheet": (
        workbook([["rid", "uid"], ["R1", "U1"]], others=[("hidden", "<row><c><v>1</v></c></row>")]),
        ONE,
    ),
}

SAVE = "CSV UTF-8'"
REFUSED: dict[str, tuple[str | bytes, str, str]] = {
    # The content, the problem, the next step
    "each line in quotes": (
        '"roomId,userId"\n"R1,U1"\n"R2,U3"\n',
        "line 1, the header: each line is in quotes as a whole",
        "remove the quotes",
    ),
    "colons": ("roomId:userId\nR1:U1\n", "separated by ':'", "save as CSV UTF-8"),
    "blanks": ("roomId   userId\nR1       U1\n", "separated by blanks", "save as CSV UTF-8"),
    "full-width commas": ("roomId\uff0cuserId\nR1\uff0cU1\n", "separated by a full-width comma", "save as CSV UTF-8"),
    "a login page": ("<!DOCTYPE html><html><body>Login</body></html>", "this is HTML or XML", "export the list as CSV"),
    "YAML": ("- roomId: R1\n  userId: U1\n", "this looks like YAML", "convert it to JSON"),
    "no header": (
        "Zk3PdVx7RmLq2WcTn,aXb7Qm2KpLd9VtRcS\n",
        "there is no roomId column",
        "the first line must name the columns",
    ),
    "German header": (
        "Gruppe;Benutzername\nfinance;alice\n",
        "the columns found are 'Gruppe', 'Benutzername'",
        "--room-column NAME and --user-column NAME",
    ),
    "two columns with names": ("group,channel,user\na,b,c\n", "'group', 'channel'; keep one", "--room-column"),
    "two columns with ids": (
        "rid,u._id,userId\nR1,U1,U2\n",
        "two columns name the userId: 'u._id', 'userId'",
        "--user-column",
    ),
    "map of rooms": (
        '{"R1":["U1","U2"],"R2":["U3"]}',
        "this looks like a map of rooms to their users",
        'write {"roomId": "...", "userIds"',
    ),
    "two lists of rows": (
        '{"update":[["R1","U1"]],"remove":[["R2","U3"]]}',
        "2 lists of rows: 'update', 'remove'",
        "keep one",
    ),
    "no rows on a page": ('{"roles": [], "success": true}', "there are no rows in it", "expected at least one"),
    "other keys": (
        '[{"Raum":"finance","Person":"alice"}]',
        "the columns found are 'Raum', 'Person'",
        "--room-column NAME and --user-column NAME",
    ),
    "blank line after a comment": (
        "# people\n\nname,role\n",
        "line 3, the header: there is no roomId column and no userId column",
        "--room-column NAME and --user-column NAME",
    ),
    "trailing comma": (
        '[{"roomId":"R1","userId":"U1"},\n {"roomId":"R2","userId":"U3"},\n]\n',
        "line 2, column 31: a comma before ']'",
        "remove the comma",
    ),
    "trailing comma in an object": (
        '{"rid":"R1","uid":"U1",}\n',
        "line 1, column 23: a comma before '}'",
        "remove the comma",
    ),
    "commas between objects": (
        '{\n"rid":"R1",\n"uid":"U1"\n},\n{\n"rid":"R2"}',
        "line 4, column 2: a comma outside a list",
        "put '['",
    ),
    "Python's repr": (
        "[{'roomId': 'R1', 'userId': 'U1'}]",
        "line 1, column 3: text in single quotes, as Python prints it",
        "json.dumps or jq",
    ),
    "Python's None": ('[{"rid":"R1","uid":"U1","x":None}]', "line 1, column 29: None is not JSON", "write null"),
    "NaN": (
        '{"roomId":"R1","userId":"U1","score":NaN}\n{"roomId":"R2","userId":"U3"}\n',
        "line 1, column 38: NaN is not JSON",
        "write null",
    ),
    "NaN in an array": (
        '[["R1","U1"],\n{"rid":"R2","uid":"U3","x":NaN}]',
        "line 2, column 28: NaN is not JSON",
        "write null",
    ),
    "comment": ('[\n // rows\n ["R1","U1"]]', "line 2, column 2: a comment", "remove it"),
    "typographic quotes": (
        '[{\u201crid\u201d:"R1"}]',
        "line 1, column 3: a typographic quote",
        "straight double quotes",
    ),
    "bare keys": ('{rid:"R1",uid:"U1"}', "line 1, column 2: a key without double quotes", "put it in double quotes"),
    "Windows-1251": (
        "\u0418\u043c\u044f;roomId;userId\n\u043f\u0440\u0438;R1;U1\n".encode("cp1251"),
        "line 1, column 1: bytes that are not text",
        SAVE,
    ),
    "two encodings": (
        b"roomId;userId;n\nR1;U1;\xfc\nR2;U3;\xc3\xbc\n",
        "line 2, column 7: bytes that are not text",
        SAVE,
    ),
    "two sheets": (
        workbook([["rid"]], others=[("visible", "<row><c><v>1</v></c></row>")]),
        "2 sheets with content: 'Sheet 1', 'Sheet 2'",
        SAVE,
    ),
    "no sheet": (raw_workbook([("visible", "")]), "nothing in its visible sheets", "expected a header"),
    "workbook that would fill the memory": (
        raw_workbook(
            [
                (
                    "visible",
                    '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
                )
            ]
        ),
        "1,048,576 rows and 16,384 columns",
        SAVE,
    ),
    "workbook that would fill the memory, in lower case": (
        raw_workbook([("visible", '<row r="1"><c r="a1"/></row><row r="1048576"><c\nr = \'xfd1048576\'/></row>')]),
        "1,048,576 rows and 16,384 columns",
        SAVE,
    ),
    "packed workbook": (gzip.compress(workbook([["rid"]])), "an Excel workbook, packed", "unpack it"),
    "old workbook": (b"\xd0\xcf\x11\xe0rest", "an old or password-protected Excel workbook", SAVE),
    "damaged workbook": (workbook([["rid", "uid"], ["R1", "U1"]])[:-40], "a damaged or encrypted Excel workbook", SAVE),
    "blank lines": (gzip.compress(b"\n" * 3_000_000, 1), "the first 1 MiB of it is blank", "remove the blank lines"),
    "blank lines after the header": (
        gzip.compress(b"rid,uid\n" + b"\n" * 3_000_000, 1),
        "more than 1,048,576 blank lines",
        "remove them",
    ),
    "delimiters only": (
        gzip.compress(b"rid,uid\n" + b" ,\n" * 3_000_000, 1),
        "more than 1,048,576 blank lines",
        "remove them",
    ),
    "blank lines in JSONL": (
        gzip.compress(b'["R1","U1"]\n' + b"\n" * 3_000_000, 1),
        "more than 1,048,576 blank lines",
        "remove them",
    ),
    "long blank lines": (
        gzip.compress(b"rid,uid\n" + (b" " * 100_000 + b"\n") * 700, 1),
        "more than 64 MiB of blank lines",
        "remove them",
    ),
    "blanks in an array": (
        gzip.compress(b'[["R1","U1"],' + b"\n" * 3_000_000 + b"]", 1),
        "after element 1: the next one is longer than 1 MiB",
        "",
    ),
}


@pytest.mark.parametrize(("content", "expected"), TAKEN.values(), ids=TAKEN.keys())
def test_a_file_is_taken_with_the_right_pairs(content: str | bytes, expected: Taken) -> None:
    """Each row has its pair, or the reason why it is unusable."""
    rows = read(encode(content)).rows
    assert [(row.room_id, row.user_id) if isinstance(row, Row) else row.reason for row in rows] == expected


@pytest.mark.parametrize(("content", "problem", "next_step"), REFUSED.values(), ids=REFUSED.keys())
def test_a_file_is_refused_with_the_problem_and_the_next_step(
    content: str | bytes, problem: str, next_step: str
) -> None:
    """The refusal is one line that names the place, the problem, and what to do."""
    with pytest.raises(JobFileError) as refused:
        read(encode(content))
    message = str(refused.value)
    assert problem in message
    assert next_step in message
    assert message.isprintable()


def test_names_are_kept_beside_ids_and_alone() -> None:
    """Names have no sign, except those of another server; their columns stay in the row."""
    content = b"roomId,Room,userId,user\nR1,#finance,U1,@alice\n,'=ops,,@bob:remote.example\n#hr,,@eve,\n"
    rows = read(content).rows
    assert [(row.room_name, row.username) for row in rows] == [
        ("finance", "alice"),
        ("=ops", "@bob:remote.example"),
        ("hr", "eve"),
    ]
    assert rows[0].extra == {"Room": "#finance", "user": "@alice"}
    assert isinstance(rows[2], BadRow)
    assert (rows[2].room_id, rows[2].user_id) == ("#hr", "@eve")
    assert "'rolecall find'" in rows[2].message


def test_names_are_kept_in_json() -> None:
    """Names come from texts, nested objects and lists; exact keys win over vague ones."""
    content = (
        b'{"rid":"R1","u":{"_id":"U1","username":"alice"},"roomName":"finance","room":"Finance Team"}\n'
        b'{"room":{"name":"ops"},"usernames":["bob"]}\n'
    )
    assert [(row.room_name, row.username) for row in read(content).rows] == [("finance", "alice"), ("ops", "bob")]


@pytest.mark.parametrize(
    ("content", "room_column", "user_column", "expected"),
    [
        ("Gruppe;Benutzername\nfinance;alice\n", "Gruppe", "benutzername", ["room_name_only"]),
        ("Raum-ID;Wer (ID);roomId\nR1;U1;R9\n", "raumid", "Wer (ID)", [("R1", "U1")]),
        ("roomId;Wer-ID;userId\nR1;U1;U9\n", "", "Wer-ID", [("R1", "U1")]),
        ('{"Raum ID":"R1","WerId":"U1","u":{"_id":"U9"},"rid":"R9"}\n', "Raum ID", "WerId", [("R1", "U1")]),
        ('{"Raum":{"_id":"R1"},"Leute":[{"_id":"U1"},{"_id":"U2"}]}', "Raum", "Leute", [("R1", "U1"), ("R1", "U2")]),
    ],
)
def test_columns_are_chosen(content: str, room_column: str, user_column: str, expected: Taken) -> None:
    """A chosen column replaces every other one of its kind; one whose name ends in 'id' has ids, any other names."""
    rows = read(content.encode(), ReadOptions("", room_column, user_column)).rows
    assert [(row.room_id, row.user_id) if isinstance(row, Row) else row.reason for row in rows] == expected


def test_a_chosen_column_that_is_missing_is_named() -> None:
    """The refusal names the column, its option and the columns found."""
    with pytest.raises(JobFileError, match=r"there is no column 'Raum' \(--room-column\); the columns found are 'rid'"):
        read(b"rid;uid\nR1;U1\n", ReadOptions("", "Raum"))


def test_other_options_make_another_job() -> None:
    """A job read with a chosen column has another digest: its run is not resumed with the rows of the former one."""
    digests = set()
    for options in (ReadOptions(), ReadOptions("cp1252"), ReadOptions("", "rid"), ReadOptions("", "", "uid")):
        with open_job("-", io.BytesIO(b"rid,uid\nR1,U1\n"), options) as job:
            digests.add(job.digest)
    assert len(digests) == 4


def test_windows_1252_is_read_with_one_warning() -> None:
    """The warning names the first place; other lines are read alike, also those before it."""
    content = "roomId;userId;n\nR1;U1;a\nR2;U3;\u00fc\u20ac\nR3;U4;\u00e9\n".encode("cp1252")
    rows, warnings = read(content)
    assert [row.extra["n"] for row in rows] == ["a", "\u00fc\u20ac", "\u00e9"]
    (warning,) = set(warnings)
    assert warning.startswith("stdin: line 3, column 7: this is not UTF-8; the file is read as Windows-1252.")
    assert "--encoding" in warning


@pytest.mark.parametrize(
    "encoding", ["cp1251", "utf-16-le", "utf-16-be", "utf-16", "utf-32", "koi8-r", "utf-8", "UTF8"]
)
def test_an_encoding_can_be_named(encoding: str) -> None:
    """A file in a named encoding is read without a warning, with and without a byte order mark."""
    content = "roomId;userId;n\nR1;U1;\u043f\u0440\u0438\n".encode(encoding)
    rows, warnings = read(content, ReadOptions(encoding))
    assert (rows[0].extra["n"], warnings) == ("\u043f\u0440\u0438", [])


@pytest.mark.parametrize("encoding", ["cp9999", "base64", "idna", "\0"])
def test_an_unknown_encoding_is_refused(encoding: str) -> None:
    """What is no encoding of files is refused with some that are."""
    with pytest.raises(JobFileError, match=r"^there is no text encoding called .* cp1252"):
        read(b"roomId,userId\nR1,U1\n", ReadOptions(encoding))


def test_a_named_encoding_is_not_replaced() -> None:
    """With --encoding utf-8, bytes that are not UTF-8 are refused."""
    with pytest.raises(JobFileError, match="bytes that are not text"):
        read("roomId;userId;n\nR1;U1;\u00fc\n".encode("cp1252"), ReadOptions("utf-8"))


def test_messages_name_the_character_the_key_and_the_value() -> None:
    """A message about a row has what a person must look for."""
    rows = read('{"rid":"R\u200b1","uid":"U1"}\n{"rid":"R1","uid":"U1","k":1,"k":2}\n["1.5E+16","U1"]\n'.encode()).rows
    messages = [row.message for row in rows if isinstance(row, BadRow)]
    assert messages[0].startswith("U+200B at character 2. The roomId contains")
    assert messages[1].startswith("The key 'k' is there twice.")
    assert messages[2].startswith("The value is 1.5E+16. A spreadsheet has rounded")


def test_rows_of_one_object_stay_within_the_memory() -> None:
    """A long text beside thousands of users is not repeated for each of them."""
    users = ",".join(f'"U{number}"' for number in range(20_000))
    (row,) = read(f'{{"roomId":"R1","note":"{"x" * 10_000}","userIds":[{users}]}}'.encode()).rows
    assert isinstance(row, BadRow)
    assert row.reason == "unreportable_value"


def test_a_workbook_without_its_reader_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to install."""
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(
        JobFileError, match=r"this is an Excel workbook; install its reader with: pip install 'rolecall\[xlsx\]'"
    ):
        read(workbook([["rid", "uid"], ["R1", "U1"]]))


def test_cells_of_a_workbook_are_as_people_see_them() -> None:
    """Numbers, truth values and texts are texts; the line of a row is that of the sheet."""
    rows = read(workbook([["roomId", "userId", "n"], ["R1", "U1", 1.5], ["R1", "U1", 7.0], ["R1", "U1", "a\nb"]])).rows
    assert [(row.line, row.extra["n"]) for row in rows] == [(2, "1.5"), (3, "7"), (4, "a\nb")]
