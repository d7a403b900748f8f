"""Lists of people and rooms: whatever people keep them in, the same words come out."""

import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.input.id_list import PEOPLE, ROOMS, Columns, read_id_list
from rolecall.files.input.problems import JobFileError


def read(content: str | bytes, columns: Columns = PEOPLE) -> list[str]:
    """Read a list."""
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
    ],
)
def test_a_list_of_people_is_read(content: str, words: list[str]) -> None:
    """One a line, CSV by its best column, JSON and JSONL give ids, `@names` and addresses, each once."""
    assert read(content) == words
    assert read(gzip.compress(content.encode())) == words


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
    """A job file or a report is a list of its rooms too; a column of names gives `#names`."""
    assert read(content, ROOMS) == words


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file is empty"),
        ("\n \n", "there is nothing in it"),
        ("first,last\nAnna,K\n", "the columns found are 'first', 'last'; expected one of userid"),
        ("[1]", "element 1: expected text"),
        ('[{"first": "Anna"}]', "element 1: expected text, or an object with userid"),
        ('["anna"', "line 1, column"),
        ("x" * 257, "is longer than 256 characters"),
        ("an\x1bna", "holds a line break, a control or a lost character"),
        (b"\xff\xfe\xff", "bytes that are not text"),
        (b"PK\x03\x04", "a zip file or an Excel workbook"),
    ],
)
def test_an_unusable_list_is_refused_in_one_line(content: str | bytes, said: str) -> None:
    """What is no list says which file, what is wrong and what was expected."""
    with pytest.raises(JobFileError) as refused:
        read(content)
    assert str(refused.value).startswith("stdin: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(content: bytes) -> None:
    """Whatever a file holds, words or one refusal come of it."""
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
def test_every_form_gives_the_same_words(words: list[str]) -> None:
    """Ids written as CSV, JSON or JSONL are read back as they were, in their order."""
    assert read("userId,n\n" + "".join(f"{word},1\n" for word in words)) == words
    assert read(json.dumps(words)) == words
    assert read("".join(json.dumps({"uid": word}) + "\n" for word in words)) == words
