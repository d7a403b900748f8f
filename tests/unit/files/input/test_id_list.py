"""Lists of users and rooms: every format gives the same words."""

import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.input.id_list import ROOM_COLUMNS, USER_COLUMNS, ListColumns, read_id_list
from rolecall.files.input.source import JobFileError
from rolecall.models.rows import MAX_ID_LENGTH
from tests.support.job_files import workbook


def read(content: str | bytes, columns: ListColumns = USER_COLUMNS) -> list[str]:
    """Return the words of a list."""
    return read_id_list("-", columns, io.BytesIO(content.encode() if isinstance(content, str) else content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("@anna\nQm7ZbW2kXn9RdLcAa\n\n  kim@example.org \n@anna\n", ["@anna", "Qm7ZbW2kXn9RdLcAa", "kim@example.org"]),
        ("@anna", ["@anna"]),
        ("\ufeff@anna\r\n@kim\r\n", ["@anna", "@kim"]),
        ("username\nanna\n@kim\n", ["@anna", "@kim"]),
        ("Name;User ID;Mail\nAnna;u1;a@example.org\nKim;u2;\n", ["u1", "u2"]),
        ("name,e-mail\nAnna,a@example.org\n", ["a@example.org"]),
        ('user name\t"left on"\nanna\t"2026\t01"\n', ["@anna"]),
        ("userId,username\nu1,anna\n,kim\n", ["u1"]),
        ("roomId,userId\nr1,u1\nr2,u1\n", ["u1"]),
        ("userId\n'=u1\n", ["=u1"]),
        ('["@anna", "u2"]', ["@anna", "u2"]),
        ('[{"_id": "u1", "username": "anna"}, {"username": "kim"}]', ["u1", "@kim"]),
        ('{"username": "anna"}\n\n{"email": "k@example.org"}\n', ["@anna", "k@example.org"]),
        ('"anna"\n"kim"\n', ["anna", "kim"]),
        ('"User ID","x"\n"u1","2"\n', ["u1"]),
        ('userId\n="u1"\n\u200bu2\u200b\n\u201cu3\u201d\n', ["u1", "u2", "u3"]),
    ],
)
def test_a_list_of_users_is_read(content: str, words: list[str]) -> None:
    """Plain lines, the best column of a CSV file, JSON and JSONL give ids, `@names` and addresses, each once."""
    assert read(content) == words
    assert read(gzip.compress(content.encode())) == words


def test_a_list_may_be_a_workbook_or_windows_1252() -> None:
    """The best column of an Excel sheet is read, and names in a file that is not UTF-8."""
    assert read(workbook([["Name", "Username"], ["Anna K.", "anna"], ["Kim", "@kim"]])) == ["@anna", "@kim"]
    assert read("username\njürgen\n".encode("cp1252")) == ["@jürgen"]


def test_endless_blank_lines_are_refused() -> None:
    """A list of blank lines is refused after a bounded number of them."""
    with pytest.raises(JobFileError, match="more than 1,048,576 blank lines"):
        read(gzip.compress(b"@anna\n" + b"\n" * 3_000_000, 1))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("GENERAL\n#budget\n", ["GENERAL", "#budget"]),
        ("line,roomId,userId\n2,r1,u1\n3,r1,u2\n", ["r1"]),
        ("name,members\nbudget,3\n", ["#budget"]),
        ('[{"rid": "r1"}]', ["r1"]),
    ],
)
def test_a_list_of_rooms_is_read(content: str, words: list[str]) -> None:
    """A job file or a report is also a list of its rooms; a column of names gives `#names`."""
    assert read(content, ROOM_COLUMNS) == words


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("\n \n", "there is nothing in it"),
        ("first,last\nAnna,K\n", "the columns found are 'first', 'last'; expected one of userid"),
        ("[1]", "element 1: expected text"),
        ('[{"first": "Anna"}]', "element 1: expected text, or an object with userid"),
        ('["anna"', "line 1, column"),
        ("x" * 257, "is longer than 256 characters"),
        ("an\x1bna", "contains a line break, a control or a lost character"),
        (b"\xff\xfe\xff", "bytes that are not text"),
        (b"PK\x03\x04", "a damaged or encrypted Excel workbook or zip file"),
    ],
)
def test_an_unusable_list_is_refused_in_one_line(content: str | bytes, message: str) -> None:
    """The message names the file, the problem and what was expected."""
    with pytest.raises(JobFileError) as refused:
        read(content)
    assert str(refused.value).startswith("stdin: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_list_may_be_longer_than_a_row() -> None:
    """The limit of 1 MiB is for each line, not for the whole list."""
    words = [f"user{number:013}" for number in range(70_000)]
    assert read("\n".join(words)) == words


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(content: bytes) -> None:
    """Any bytes result in words or in JobFileError."""
    try:
        words = read(content)
    except JobFileError:
        return
    assert words
    assert len(words) == len(set(words))


WORDS = st.lists(
    st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=20),
    min_size=1,
    max_size=8,
    unique=True,
)


@given(WORDS)
def test_every_format_gives_the_same_words(words: list[str]) -> None:
    """Ids written as CSV, JSON or JSONL are read back unchanged and in order."""
    assert read("userId,n\n" + "".join(f"{word},1\n" for word in words)) == words
    assert read(json.dumps(words)) == words
    assert read("".join(json.dumps({"uid": word}) + "\n" for word in words)) == words


def test_a_word_may_be_as_long_as_an_id() -> None:
    """One character more is refused, and shown in short."""
    longest = "u" * MAX_ID_LENGTH
    assert read(longest) == [longest]
    with pytest.raises(JobFileError) as refused:
        read(f"{longest}u")
    assert str(refused.value).endswith(f"{'u' * 40!r} is longer than {MAX_ID_LENGTH} characters")
    with pytest.raises(JobFileError) as refused:
        read('["a\\u0007"]')
    assert str(refused.value).endswith("'a\\x07' contains a line break, a control or a lost character")


def test_what_was_expected_is_in_the_message() -> None:
    """The columns that a list may have, in words."""
    for content in ("[1]", "shoe,size\na,b\n"):
        with pytest.raises(JobFileError, match="userid, uid, id, username, user"):
            read(content)
    with pytest.raises(
        JobFileError, match=": there is nothing in it; expected one id or name on each line, CSV or JSON"
    ):
        read("\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('\n  ["@anna"]\n', ["@anna"]),
        ("note;userId\nonly one cell\nx;u1\n", ["u1"]),
        ("userId;x\n\nu1;2;3\n", ["u1"]),
        ('userId\n"u1" and more\n', ["u1 and more"]),
        ("XanaX\n", ["XanaX"]),
        ('\n"User ID";"x y"\n"u1";"2"\n', ["u1"]),
        ('"a\\u00e4b"\n', ["a\u00e4b"]),
        ('anna"\nkim"\n', ["anna", "kim"]),
        ("a,b,c;userId\n1,2,3;u1\n", ["u1"]),
    ],
)
def test_odd_lists_are_read(content: str, words: list[str]) -> None:
    """Blank lines first, records of another length, text after a quote, a header with few cells that names a column."""
    assert read(content) == words
