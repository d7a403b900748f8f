"""The words of one row: which is an id and which a name, and what a person reads of an unusable one."""

import re

import pytest

from rolecall.files.input.ids import BAD_ROW_REASONS, INVISIBLE, Words, make_row, trim
from rolecall.models import BadRow, NamedRow, Row
from rolecall.models.rows import MAX_ID_LENGTH


@pytest.mark.parametrize(
    ("word", "room_id", "room_name"),
    [("#", "#", ""), ("#a", "", "a"), ("##", None, None), ("a#", "a#", ""), ("#N/A", None, None)],
)
def test_a_sign_and_one_character_are_a_name(word: str, room_id: str | None, room_name: str | None) -> None:
    """A sign alone is taken for an id; what a spreadsheet shows for an error is neither."""
    row = make_row(7, Words(word, "u1"), {})
    if room_id is None:
        assert isinstance(row, BadRow)
        assert row.reason == "spoiled_by_spreadsheet"
    elif room_id:
        assert row == Row(7, room_id, "u1", {})
    else:
        assert row == NamedRow(7, "", "u1", {}, str(room_name), "")


def test_an_unusable_row_keeps_its_further_columns() -> None:
    """They are in the report beside the reason."""
    assert make_row(7, Words("", "u1"), {"note": "x"}) == BadRow(
        7, "", "u1", "missing_room_id", BAD_ROW_REASONS["missing_room_id"], {"note": "x"}
    )


def test_what_a_spreadsheet_has_spoiled_is_shown_in_short() -> None:
    """At most 40 characters of the value; other hints do not show it."""
    value = "1." + "5" * 45 + "E+15"
    row = make_row(7, Words(value, "u1"), {})
    assert isinstance(row, BadRow)
    assert row.message == f"The value is {value[:40]}. {BAD_ROW_REASONS['spoiled_by_spreadsheet']}"
    long = make_row(7, Words("r" * (MAX_ID_LENGTH + 1), "u1"), {})
    assert isinstance(long, BadRow)
    assert long.message == BAD_ROW_REASONS["room_id_too_long"]
    assert make_row(7, Words("r" * MAX_ID_LENGTH, "u1"), {}) == Row(7, "r" * MAX_ID_LENGTH, "u1", {})


def test_every_blank_and_invisible_character_is_trimmed() -> None:
    """The characters that are removed are white space, or in the class of invisible ones."""
    every = "".join(map(chr, range(0x110000)))
    assert [character for character in every if not trim(character)] == re.findall(rf"[\s{INVISIBLE}]", every)
