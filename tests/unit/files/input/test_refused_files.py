"""Files that are no usable job: refused in one line with the problem and the next step."""

import gzip
import sys

import pytest

from rolecall.files.input.source import JobFileError
from tests.support.job_files import encode, raw_workbook, read, workbook

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
    "another header": (
        "Abteilung;Person\nfinance;alice\n",
        "the columns found are 'Abteilung', 'Person'",
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
        '[{"Abteilung":"finance","Person":"alice"}]',
        "the columns found are 'Abteilung', 'Person'",
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


def test_a_workbook_without_its_reader_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to install."""
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(
        JobFileError, match=r"this is an Excel workbook; install its reader with: pip install 'rolecall\[xlsx\]'"
    ):
        read(workbook([["rid", "uid"], ["R1", "U1"]]))
