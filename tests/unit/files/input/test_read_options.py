"""How a person wants a job file to be read: its columns and its encoding; and what is detected without that."""

import io

import pytest

from rolecall.files.input.job import ReadOptions, open_job
from rolecall.files.input.source import JobFileError
from tests.support.job_files import Taken, read, taken


@pytest.mark.parametrize(
    ("content", "room_column", "user_column", "expected"),
    [
        ("Abteilung;Person\nfinance;alice\n", "Abteilung", "person", [("#finance", "@alice")]),
        ("Raum-ID;Wer (ID);roomId\nR1;U1;R9\n", "raumid", "Wer (ID)", [("R1", "U1")]),
        ("roomId;Wer-ID;userId\nR1;U1;U9\n", "", "Wer-ID", [("R1", "U1")]),
        ('{"Raum ID":"R1","WerId":"U1","u":{"_id":"U9"},"rid":"R9"}\n', "Raum ID", "WerId", [("R1", "U1")]),
        ('{"Raum":{"_id":"R1"},"Leute":[{"_id":"U1"},{"_id":"U2"}]}', "Raum", "Leute", [("R1", "U1"), ("R1", "U2")]),
    ],
)
def test_columns_are_chosen(content: str, room_column: str, user_column: str, expected: Taken) -> None:
    """A chosen column replaces every other one of its kind; one whose name ends in 'id' has ids, any other names."""
    rows = read(content.encode(), ReadOptions("", room_column, user_column)).rows
    assert taken(rows) == expected


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
