"""Properties of reading: no bytes crash it, and rows written in any format are read back."""

import csv
import gzip
import io
import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rolecall.files.input.job import open_job
from rolecall.files.input.problems import JobFileError
from rolecall.models import MAX_ID_LENGTH, BadRow, Row
from rolecall.text import UNSAFE

usable_ids = (
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=MAX_ID_LENGTH)
    .map(lambda text: UNSAFE.sub("", text).strip())
    .filter(bool)
)
"""Every id that a JSON job may contain."""
csv_ids = usable_ids.filter(lambda text: not text.startswith("'"))
"""In a CSV, an apostrophe in front of a formula character is removed."""

VALID = [
    b'roomId;userId;n\r\nGENERAL;rocket.cat;"a\r\nb"\r\n\'=r;u;\r\n',
    b'[{"roomId": "r", "userId": "u", "n": [1, {"a": null}]}, ["r", "u"]]',
    b'{"rid": "r", "uid": "u"}\n\n["r", "u"]\n',
    "roomId\tuserId\nGENERAL\trocket.cat\n".encode("utf-16"),
]
FRONTS = [
    b"",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\x1f\x8b",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
    b"[",
    b'{"rid":',
    b"rid,uid\n",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a valid file with some bytes replaced, removed or inserted."""
    content = bytearray(draw(st.sampled_from(VALID + [gzip.compress(each) for each in VALID])))
    for _ in range(draw(st.integers(1, 4))):
        index = draw(st.integers(0, len(content)))
        content[index : index + draw(st.integers(0, 5))] = draw(st.binary(max_size=5))
    return bytes(content)


def assert_rows_or_refusal(content: bytes) -> None:
    """Read a file to its end; the only results are rows and `JobFileError`."""
    message = ""
    try:
        with open_job("-", io.BytesIO(content)) as job:
            for row in job.rows():
                assert isinstance(row, Row | BadRow)
                assert row.line >= 1
                if isinstance(row, Row):
                    assert row.room_id == row.room_id.strip() != ""
                    assert not UNSAFE.search(row.room_id + row.user_id)
    except JobFileError as error:
        message = str(error)
    assert set(UNSAFE.findall(message)) <= {"\ufffd"}


@given(st.sampled_from(FRONTS), st.binary(max_size=300))
@settings(max_examples=400)
@example(b"[", b"9" * 5_000 + b"]")
@example(b"", b'{"a":' * 2_000)
def test_no_bytes_at_all_end_in_a_traceback(front: bytes, rest: bytes) -> None:
    """Any bytes, also after the marks of the known formats and packed, give rows or `JobFileError`."""
    assert_rows_or_refusal(front + rest)
    assert_rows_or_refusal(gzip.compress(front + rest, 1))


@given(mutated())
@settings(max_examples=600)
def test_no_damaged_file_ends_in_a_traceback(content: bytes) -> None:
    """A valid file with some bytes damaged gives rows or `JobFileError`."""
    assert_rows_or_refusal(content)


@given(
    st.lists(st.tuples(csv_ids, csv_ids, st.text(st.characters(codec="utf-8", exclude_characters="\0"))), min_size=1),
    st.sampled_from([",", ";", "\t", "|"]),
    st.booleans(),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.booleans(),
)
@settings(max_examples=300)
def test_csv_is_read_as_it_was_written(
    rows: list[tuple[str, str, str]], delimiter: str, quote_all: bool, line_break: str, encoding: str, packed: bool
) -> None:
    """Any ids and notes survive each delimiter, quoting, line break, encoding and gzip."""
    text = io.StringIO(newline="")
    # The csv module quotes line breaks only where they are its own, so quote all notes that have one.
    has_break = any("\n" in note or "\r" in note for *_, note in rows)
    writer = csv.writer(
        text,
        delimiter=delimiter,
        quoting=csv.QUOTE_ALL if quote_all or has_break else csv.QUOTE_MINIMAL,
        lineterminator=line_break,
    )
    writer.writerows([("roomId", "note", "userId"), *((room, note, user) for room, user, note in rows)])
    content = text.getvalue().encode(encoding)
    with open_job("-", io.BytesIO(gzip.compress(content) if packed else content)) as job:
        assert [(row.room_id, row.user_id, row.extra["note"]) for row in job.rows()] == rows


@given(
    st.lists(st.tuples(usable_ids, usable_ids), min_size=1),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.booleans(),
)
@settings(max_examples=300)
def test_json_is_read_as_it_was_written(
    pairs: list[tuple[str, str]], objects: bool, lines: bool, escaped: bool, encoding: str, packed: bool
) -> None:
    """Any ids survive arrays and lines, objects and pairs, escapes, encodings and gzip."""
    elements = [{"roomId": room, "userId": user} if objects else [room, user] for room, user in pairs]
    texts = [json.dumps(element, ensure_ascii=escaped) for element in elements]
    content = ("\n".join(texts) if lines else f"[{', '.join(texts)}]").encode(encoding)
    with open_job("-", io.BytesIO(gzip.compress(content) if packed else content)) as job:
        assert [(row.room_id, row.user_id) for row in job.rows()] == pairs
