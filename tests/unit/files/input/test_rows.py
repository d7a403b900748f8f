"""The rows of a job file: which are usable, which are skipped, which are invalid."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from rolecall.files.input.columns import ColumnRoles
from rolecall.files.input.ids import BAD_ROW_REASONS
from rolecall.files.input.source import JobFileError
from rolecall.models import BadRow, JobRow, Row

Read = Callable[..., list[JobRow]]


@pytest.mark.parametrize(
    ("name", "role"),
    [(name, "roomId") for name in ("roomId", "room_id", "ROOM-ID", " Room ID ", "rid", "RID", "groupId", "Group Id")]
    + [(name, "userId") for name in ("userId", "user_id", "USER-ID", "User\u00a0ID", "uid", "U I D")]
    + [(name, "roomName") for name in ("roomName", "room", "Group", "channel", "room.name", "#name")]
    + [(name, "username") for name in ("username", "User Name", "user", "u.username", "@name")]
    + [(name, "roomId") for name in ("room\u200bId", '="roomId"', "'roomId'", "room._id", "channelId")]
    + [(name, "") for name in ("roomIds", "note", "", "id", "fullName")],
)
def test_columns_are_recognised_by_their_names(name: str, role: str) -> None:
    """Case, white space, `_` and `-` in a column's name are ignored; everything else counts."""
    assert ColumnRoles()[name].value == role


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("a,uid,rid,b\n1,u,r,2\n", [(2, "r", "u", {"a": "1", "b": "2"})]),
        ("rid,uid,a,b\nr,u,1\nr,u\n", [(2, "r", "u", {"a": "1", "b": ""}), (3, "r", "u", {"a": "", "b": ""})]),
        ("rid,uid\n\n r , u \n,\n \t \nq,v", [(3, "r", "u", {}), (6, "q", "v", {})]),
        ('rid,uid,n\nr,u,"one\ntwo\n"\nq,v,\n', [(2, "r", "u", {"n": "one\ntwo\n"}), (5, "q", "v", {"n": ""})]),
        ('rid,uid,n\r\nr,u,"a\r\nb"\r\nq,v,""""\r\n', [(2, "r", "u", {"n": "a\r\nb"}), (4, "q", "v", {"n": '"'})]),
        ('"Room\nID",uid\nr,u\n', [(3, "r", "u", {})]),
        (
            "rid,uid,n,n,,n (2)\nr,u,1,2,3,4",
            [(2, "r", "u", {"n": "1", "n (2)": "2", "column 5": "3", "n (2) (2)": "4"})],
        ),
        ("rid,uid,n;m\nr,u,1;2\n", [(2, "r", "u", {"n;m": "1;2"})]),
        ("rid,uid\n'=r,''-u\n'r,'\n", [(2, "=r", "'-u", {}), (3, "r", "'", {})]),
        ("rid,uid\nr r,ü\n", [(2, "r r", "ü", {})]),
        (f"rid,uid\n{'r' * 256},{'ü' * 256}\n", [(2, "r" * 256, "ü" * 256, {})]),
    ],
)
def test_csv_rows(read: Read, content: str, rows: list[tuple[int, str, str, dict[str, str]]]) -> None:
    """A CSV row has the physical line where it starts, trimmed ids, and its other cells unchanged."""
    assert read(content) == [Row(*row) for row in rows]


@pytest.mark.parametrize(
    ("content", "reason", "line", "ids"),
    [
        ("rid,uid\n,u", "missing_room_id", 2, ("", "u")),
        ("rid,uid,n\n , ,n", "missing_room_id", 2, (" ", " ")),
        ("rid,uid\nr", "missing_user_id", 2, ("r", "")),
        ("rid,uid\n\n\nr,u,x", "too_many_cells", 4, ("r", "u")),
        ("rid,uid\nr,u,,x", "too_many_cells", 2, ("r", "u")),
        ('rid,uid\n"r\ns",u', "room_id_control_character", 2, ("r\ns", "u")),
        ("rid,uid\nr,u\x7fu", "user_id_control_character", 2, ("r", "u\x7fu")),
        ("rid,uid\nr\u202er,u", "room_id_control_character", 2, ("r\u202er", "u")),
        ("rid,uid\nr,u\ufffd", "user_id_control_character", 2, ("r", "u\ufffd")),
        (f"rid,uid\n{'r' * 257},u", "room_id_too_long", 2, ("r" * 257, "u")),
        (f"rid,uid\nr,{'u' * 257}", "user_id_too_long", 2, ("r", "u" * 257)),
        ('rid,uid\n"r"r,u', "bad_quotes", 2, ("", "")),
        ('rid,uid\na,"b\nc"d,e', "bad_quotes", 2, ("", "")),
    ],
)
def test_unusable_csv_row(read: Read, content: str, reason: str, line: int, ids: tuple[str, str]) -> None:
    """An unusable CSV row has its line, its reason and its ids as in the file; the next row is read."""
    bad, good = read(content + "\nGENERAL,rocket.cat\n")
    assert isinstance(bad, BadRow)
    assert (bad.reason, bad.line, (bad.room_id, bad.user_id)) == (reason, line, ids)
    assert BAD_ROW_REASONS[reason] in bad.message
    assert good[1:3] == ("GENERAL", "rocket.cat")


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ("{}", "missing_room_id"),
        ('{"rid":null,"uid":"u"}', "missing_room_id"),
        ('{"rid":"r","uid":" "}', "missing_user_id"),
        ('["r",""]', "missing_user_id"),
        ('["r",17]', "not_text"),
        ('{"rid":[1],"uid":"u"}', "not_text"),
        ('{"rid":1,"roomId":"r","uid":"u"}', "not_text"),
        ('{"rid":true,"uid":"u"}', "not_text"),
        ('{"rid":"r","roomId":"s","uid":"u"}', "two_room_ids"),
        ('{"rid":"r","uid":"u","userId":"v"}', "two_user_ids"),
        ('["r","u\\u0000"]', "user_id_control_character"),
        ('["r","u","x"]', "not_a_pair"),
        ("[]", "not_a_pair"),
        ("7", "not_an_object"),
        ("null", "not_an_object"),
    ],
)
@pytest.mark.parametrize("frame", ["[{}, {}, {}]", "{}\n{}\n{}"], ids=["array", "lines"])
def test_unusable_json_row(read: Read, frame: str, element: str, reason: str) -> None:
    """An unusable JSON element has its place and reason; the elements around it are read."""
    before, bad, after = read(
        frame.format('["a", "b"]' if frame[0] == "{" else '{"rid":"a","uid":"b"}', element, '["c","d"]')
    )
    assert isinstance(bad, BadRow)
    assert (bad.reason, bad.line) == (reason, 2)
    assert bad.message.endswith(BAD_ROW_REASONS[reason])
    assert (before[:3], after[:3]) == ((1, "a", "b"), (3, "c", "d"))


@pytest.mark.parametrize("frame", ["[{}]", "{}"], ids=["array", "lines"])
@pytest.mark.parametrize(
    "value", ["text", "", None, True, -5, 1.5, 2**63, [1, [None]], {"a": {"b": []}}, {"roomId": "inner"}]
)
def test_json_values_stay_json_values(read: Read, frame: str, value: Any) -> None:
    """The values of other keys keep their JSON types, also nested ones."""
    element = orjson.dumps({"rid": "r", "x": value, "uid": "u"}).decode()
    (row,) = read(frame.format(element))
    assert row == Row(1, "r", "u", {"x": value})
    assert type(row.extra["x"]) is type(value)


def test_the_same_id_twice_in_an_object_is_usable(read: Read) -> None:
    """Two keys with the same room, or one of them null, are not ambiguous."""
    assert read('[{"rid":"r","roomId":"r","uid":"u","userId":null}]') == [Row(1, "r", "u", {})]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not_json"),
        ("nonsense", "not_json"),
        ("{'rid': 'r'}", "not_json"),
        ('{"rid":"r","uid":"u","x":NaN}', "not_json"),
        ('["\\ud800","u"]', "not_json"),
        ("[" * 5_000 + "]" * 5_000, "not_json"),
        ('{"rid":"r","uid":"u","x":' + "[" * 300 + "]" * 300 + "}", "unreportable_value"),
        ('{"rid":' + "[" * 900 + "]" * 900 + ',"roomId":' + "[" * 900 + "]" * 900 + "}", "not_text"),
    ],
)
def test_unusable_line_of_jsonl(read: Read, line: str, reason: str) -> None:
    """A later line that is not JSON, or too deep for a report, is an unusable row; the next line is read."""
    _, bad, good = read(f'["a","b"]\n{line}\n\n["c","d"]\n')
    assert isinstance(bad, BadRow)
    assert (bad.reason, bad.line) == (reason, 2)
    assert good == Row(4, "c", "d", {})


def test_whole_number_beyond_64_bits_in_an_array_is_invalid(read: Read) -> None:
    """A value that a report cannot contain makes its row invalid, not the whole file."""
    (bad,) = read('[{"rid":"r","uid":"u","x":123456789012345678901234567890}]')
    assert isinstance(bad, BadRow)
    assert bad.reason == "unreportable_value"


def test_a_quote_that_joins_lines_names_them(read: Read) -> None:
    """The message about a misplaced quote names all lines that it joins."""
    bad = read('rid,uid\nr,"u\nq,v\n"x,y\na,b\n')[0]
    assert isinstance(bad, BadRow)
    assert "lines 2 to 4" in bad.message


@pytest.mark.parametrize("half", [r"\ud800", r"\udc00x", r"\uD83Dx", r"\ude00\ud83d"])
@pytest.mark.parametrize("before", ["", "x" * 65_500])
def test_a_lone_surrogate_in_an_array_is_refused(read: Read, half: str, before: str) -> None:
    """The parser would make another id from a lone surrogate: the file is refused, also at a chunk's end."""
    with pytest.raises(JobFileError, match=r"half a character|not text"):
        read(f'[["a","b"],{" " * len(before)}["abc{half}","u"],["c","d"]]')
    with pytest.raises(JobFileError, match=r"half a character|not text"):
        read(f'[["a","b"],{" " * len(before)}["u","abc{half}"]]')


@pytest.mark.parametrize("blanks", range(65_505, 65_540, 3))
def test_a_surrogate_pair_is_one_character_also_across_chunks(read: Read, blanks: int) -> None:
    """A surrogate pair is read as one character at every place in the file."""
    (_, row) = read(f'[["a","b"],{" " * blanks}' + r'["\ud83d\ude00","u"]]')
    assert isinstance(row, Row)
    assert row.room_id == "\U0001f600"
