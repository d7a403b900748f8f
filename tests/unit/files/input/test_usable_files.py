"""Job files as people have them: each kind is taken with the right pairs."""

import gzip

import pytest

from rolecall.models import BadRow
from tests.support.job_files import Taken, encode, read, taken, workbook

ONE: Taken = [("R1", "U1")]
TWO: Taken = [("R1", "U1"), ("R2", "U3")]
NAMES: Taken = [("#finance", "@alice")]
ROUNDED = "spoiled_by_spreadsheet"

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
    "names": ("roomName,username\nfinance,alice\n", NAMES),
    "names, vague": ("Room;User\nfinance;alice\n", NAMES),
    "names in id columns": (
        "roomId,userId\n#finance,U1\nR1,@alice\nR1,@alice:remote.example\n",
        [("#finance", "U1"), ("R1", "@alice"), ("R1", "@alice:remote.example")],
    ),
    "names beside ids": ("roomId,roomName,userId,username\nR1,finance,U1,alice\n,#ops,U2,\n", [ONE[0], ("#ops", "U2")]),
    "names in a pair": ('["#finance","U1"]\n["R1","U1"]\n', [("#finance", "U1"), ONE[0]]),
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
        [("R1", "U1"), ("R1", "@bob")],
    ),
    "array of names": ('{"room":"finance","members":["alice","bob"]}', [("#finance", "@alice"), ("#finance", "@bob")]),
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


@pytest.mark.parametrize(("content", "expected"), TAKEN.values(), ids=TAKEN.keys())
def test_a_file_is_taken_with_the_right_pairs(content: str | bytes, expected: Taken) -> None:
    """Each row has its pair, or the reason why it is unusable."""
    rows = read(encode(content)).rows
    assert taken(rows) == expected


@pytest.mark.parametrize(
    ("content", "extra"),
    [
        ("| roomId | userId |\n|---|---|\n| R1 | U1 |\n", {}),
        ("| roomId | userId | note |\n|---|---|---|\n| R1 | U1 | x |\n", {"note": "x"}),
        ("roomId|userId||note\nR1|U1||x\n", {"column 3": "", "note": "x"}),
        ("|roomId|userId|note\n|R1|U1|x\n", {"column 1": "", "note": "x"}),
        ("note|roomId|userId|\nx|R1|U1|\n", {"note": "x", "column 4": ""}),
        (";roomId;userId;\n;R1;U1;\n", {"column 1": "", "column 4": ""}),
    ],
)
def test_the_lines_around_a_drawn_table_are_no_columns(content: str, extra: dict[str, str]) -> None:
    """Only a table whose lines all begin and end with `|` is drawn; in others an empty column is one of the file."""
    (row,) = read(content.encode()).rows
    assert (row.room_id, row.user_id, row.extra) == ("R1", "U1", extra)


def test_the_first_header_counts_with_any_delimiter() -> None:
    """Where two lines could be headers, each with another delimiter, it is the first one."""
    for one, other in ((",", ";"), (";", ",")):
        content = f"roomId{one}userId{one}x\nR1{one}U1{one}roomId{other}userId\n"
        (row,) = read(content.encode()).rows
        assert (row.room_id, row.user_id, row.extra) == ("R1", "U1", {"x": f"roomId{other}userId"})


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
    assert taken(rows[2:]) == [("#hr", "@eve")]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("userId,roomId,email\nU1,R1,a@example.org\n", ("", "")),
        ("roomId,userId,email\nR1,U1,a@example.org\n", ("", "")),
        ("email,roomId\na@example.org,R1\n", ("", "a@example.org")),
        ("roomName,room,userId\nfinance,Finance Team,U1\n", ("finance", "")),
        ("room,roomName,userId\nFinance Team,finance,U1\n", ("finance", "")),
        ("user,username,email,roomId\nAlice A.,alice,a@example.org,R1\n", ("", "alice")),
    ],
)
def test_the_exact_column_of_a_name_counts(content: str, names: tuple[str, str]) -> None:
    """A vague one counts only where no other has the name, and one of addresses where nothing else names the user."""
    (row,) = read(content.encode()).rows
    assert (row.room_name, row.username) == names


@pytest.mark.parametrize(
    ("pair", "ids"), [('[5, "U1"]', ("5", "U1")), ('["R1", 5]', ("R1", "5")), ('[null, {"a": 1}]', ("", '{"a":1}'))]
)
def test_a_pair_that_is_no_text_is_reported_as_it_is(pair: str, ids: tuple[str, str]) -> None:
    """The report shows both ids as they are in the file, and no further column."""
    _, row = read(f'["R1", "U1"]\n{pair}'.encode()).rows
    assert isinstance(row, BadRow)
    assert (row.room_id, row.user_id, row.reason, row.extra) == (*ids, "not_text", {})


def test_names_are_kept_in_json() -> None:
    """Names come from texts, nested objects and lists; exact keys win over vague ones."""
    content = (
        b'{"rid":"R1","u":{"_id":"U1","username":"alice"},"roomName":"finance","room":"Finance Team"}\n'
        b'{"room":{"name":"ops"},"usernames":["bob"]}\n'
    )
    assert [(row.room_name, row.username) for row in read(content).rows] == [("finance", "alice"), ("ops", "bob")]


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


def test_cells_of_a_workbook_are_as_people_see_them() -> None:
    """Numbers, truth values and texts are texts; the line of a row is that of the sheet."""
    rows = read(workbook([["roomId", "userId", "n"], ["R1", "U1", 1.5], ["R1", "U1", 7.0], ["R1", "U1", "a\nb"]])).rows
    assert [(row.line, row.extra["n"]) for row in rows] == [(2, "1.5"), (3, "7"), (4, "a\nb")]
