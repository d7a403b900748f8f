"""Properties of reading: no bytes crash it, and rows written in any format are read back."""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from rolecall.files.input.job import open_job
from rolecall.files.input.source import JobFileError
from rolecall.files.output.csv_sanitiser import parse_id_cell
from rolecall.models import BadRow, NamedRow, Row
from rolecall.text import UNSAFE
from tests.support.job_files import raw_workbook, usable_ids, workbook

csv_ids = usable_ids.filter(lambda text: parse_id_cell(text) == text)
"""In a CSV, quotes and what a spreadsheet puts around an id are removed."""

Pairs = list[tuple[str, str]]

VALID = [
    b'roomId;userId;n\r\nGENERAL;rocket.cat;"a\r\nb"\r\n\'=r;u;\r\n',
    b'[{"roomId": "r", "userId": "u", "n": [1, {"a": null}]}, ["r", "u"]]',
    b'{"rid": "r", "uid": "u"}\n\n["r", "u"]\n',
    "roomId\tuserId\nGENERAL\trocket.cat\n".encode("utf-16"),
    "Titel\nRaum;roomId;userId\nBüro;GENERAL;rocket.cat\n".encode("cp1252"),
    b'{\n"roles": [{"rid": "r", "u": {"_id": {"$oid": "u"}}}]}\n{"roles": []}',
    b'{"room": {"name": "a"}, "users": ["b", {"_id": "c"}]}\n',
    b"| roomId | userId |\n|---|---|\n| `r` | 'u' |\n",
    workbook([["roomId", "userId"], ["r", "u"]]),
    raw_workbook([("visible", "")]),
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
    b"sep=",
    b"| rid | uid |\n",
    b"PK\x03\x04",
    b'{"data":[',
    b'{"rid":"r","u":',
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
                assert isinstance(row, Row | NamedRow | BadRow)
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


def _csv(pairs: Pairs, *, header: str = "roomId,userId", delimiter: str = ",", before: str = "") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(pairs)
    return f"{before}{header.replace(',', delimiter)}\r\n{text.getvalue()}".encode()


def _drawn(pairs: Pairs) -> bytes:
    return "".join(f"| {room} | {user} |\n" for room, user in [("roomId", "userId"), ("---", ":-:"), *pairs]).encode()


SHAPES: dict[str, Callable[[Pairs], bytes]] = {
    "sep line": lambda pairs: _csv(pairs, delimiter=";", before='"sep=;"\r\n'),
    "titles": lambda pairs: _csv(pairs, before="#TYPE x\r\nLeaders,in May\r\n,,\r\n"),
    "byte order marks": lambda pairs: _csv(pairs, before="\ufeff\ufeff"),
    "invisible": lambda pairs: _csv(
        [(f"\u200b{a}\u00a0", f"\u2060{b}\ufeff") for a, b in pairs], header="room\u200bId,uid"
    ),
    "formulas": lambda pairs: _csv([(f'="{a}"', f'="{b}"') for a, b in pairs]),
    "apostrophes": lambda pairs: _csv([(f"'{a}", f"'{b}") for a, b in pairs]),
    "quotes": lambda pairs: _csv([(f"\u201e{a}\u201c", f"\u201c{b}\u201d") for a, b in pairs], delimiter="\t"),
    "single quotes": lambda pairs: "\n".join(f"'{a}','{b}'" for a, b in [("roomId", "userId"), *pairs]).encode(),
    "blank before quotes": lambda pairs: "\n".join(f'{a}, "{b}"' for a, b in [("roomId", "userId"), *pairs]).encode(),
    "surplus": lambda pairs: "\n".join(f"{a};{b};;" for a, b in [("rid", "u._id"), *pairs]).encode(),
    "drawn table": _drawn,
    "workbook": lambda pairs: workbook([("roomId", "userId"), *pairs], first=(3, 2)),
    "wrapped": lambda pairs: json.dumps(
        {"count": 1, "roles": [{"rid": a, "u": {"_id": b}} for a, b in pairs]}
    ).encode(),
    "wrapped twice": lambda pairs: json.dumps({"data": {"results": pairs}}, indent=1).encode(),
    "pages": lambda pairs: "".join(json.dumps({"data": [{"rid": a, "uid": b}], "x": {}}) for a, b in pairs).encode(),
    "indented": lambda pairs: "\n".join(json.dumps({"rid": a, "uid": b}, indent=2) for a, b in pairs).encode(),
    "indented pages": lambda pairs: "\n".join(
        json.dumps({"x": [1], "y": [[a, b]]}, indent=2) for a, b in pairs
    ).encode(),
    "arrays": lambda pairs: "".join(json.dumps([{"rid": a, "uid": b}]) for a, b in pairs).encode(),
    "array of arrays": lambda pairs: json.dumps([[{"rid": a, "uid": b}] for a, b in pairs]).encode(),
    "commas": lambda pairs: "".join(json.dumps({"rid": a, "uid": b}) + ",\r\n" for a, b in pairs).encode(),
    "RFC 7464": lambda pairs: "".join(f"\x1e{json.dumps([a, b])}\n" for a, b in pairs).encode(),
    "mongoexport": lambda pairs: "".join(
        json.dumps({"_id": {"$oid": "5"}, "rid": {"$oid": a}, "u": {"_id": b, "username": "x"}, "roles": ["leader"]})
        + "\n"
        for a, b in pairs
    ).encode(),
    "nested": lambda pairs: json.dumps(
        [{"room": {"_id": a, "name": "x"}, "user": {"id": b}} for a, b in pairs]
    ).encode(),
    "lists": lambda pairs: json.dumps([{"roomId": a, "userIds": [b]} for a, b in pairs]).encode(),
    "lists of objects": lambda pairs: json.dumps([{"roomId": a, "members": [{"_id": b}]} for a, b in pairs]).encode(),
}
"""Each writes pairs as some export does."""
plain_ids = st.text("ABCxyz23456789-_.: ", min_size=1, max_size=20).map(str.strip).filter(lambda t: t[:1].isalnum())


@pytest.mark.parametrize("write", SHAPES.values(), ids=SHAPES.keys())
@given(pairs=st.lists(st.tuples(plain_ids, plain_ids), min_size=1, max_size=6), packed=st.booleans())
@settings(max_examples=60)
def test_every_shape_of_an_export_is_read_as_it_was_written(
    write: Callable[[Pairs], bytes], pairs: Pairs, packed: bool
) -> None:
    """What is written in any of the shapes comes back as the same pairs, in order."""
    content = write(pairs)
    packed = packed and not content.startswith(b"PK")
    with open_job("-", io.BytesIO(gzip.compress(content) if packed else content)) as job:
        assert [row[1:3] for row in job.rows() if isinstance(row, Row)] == pairs


@given(
    st.lists(st.tuples(plain_ids, plain_ids), min_size=1, max_size=6), st.text("äöüßéèàñçÄÖÜ€\u2013„“ abc", max_size=20)
)
@settings(max_examples=100)
def test_windows_1252_is_read_as_it_was_written(pairs: Pairs, note: str) -> None:
    """Western European texts in Windows-1252 come back unchanged, if they do not look like another encoding."""
    text = "".join(f"{room};{user};{note}\n" for room, user in [("roomId", "userId"), *pairs])
    content = text.encode("cp1252")
    assume(not text.isascii() and note.strip() == note)
    assume(not re.search(rb"[\xc0-\xff]{4}|[\xc2-\xf4][\x80-\xbf]", content))
    with open_job("-", io.BytesIO(content)) as job:
        rows = list(job.rows())
    assert [row[1:3] for row in rows] == pairs
    assert all(list(row.extra.values()) == [note] for row in rows)
