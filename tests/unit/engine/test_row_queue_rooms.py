"""What is remembered of rooms."""

import pytest

from rolecall.engine import row_queue as module
from rolecall.engine.row_queue import RoomCache
from rolecall.models import NoReply, Reply
from tests.unit.engine.answers import ARCHIVED, FORBIDDEN, NO_SUCH_USER, OK, TIMEOUT, pending, refusal, result_of


@pytest.mark.parametrize("answer", [OK, NO_SUCH_USER, TIMEOUT, FORBIDDEN])
def test_a_room_in_which_rows_can_be_worked_is_open_to_all(answer: Reply | NoReply) -> None:
    """The first row scouts, the others wait for it; any answer that is not about the room lets them go."""
    rooms, rows = RoomCache(), [pending(key) for key in range(4)]
    assert [rooms.admit(row) for row in rows] == [True, False, False, False]
    assert rooms.parked == 3
    assert rooms.record_response(rows[0], result_of(answer)) == rows[1:]
    assert rooms.parked == 0
    assert rooms.rejection(rows[1]) is None
    assert rooms.admit(pending(9)) is True


@pytest.mark.parametrize("error_type", ["error-room-not-found", "error-room-archived", "error-not-allowed"])
def test_a_closed_room_is_asked_once(error_type: str) -> None:
    """A result that is true for the whole room applies to its other rows without a call, with the line that got it."""
    rooms, result = RoomCache(), result_of(refusal(error_type))
    first, second = pending(0), pending(1)
    assert [rooms.admit(first), rooms.admit(second)] == [True, False]
    assert rooms.rejection(first) is None
    assert rooms.record_response(first, result) == [second]
    assert rooms.rejection(second) == (result, first.line)
    assert rooms.rejection(pending(2, "another")) is None


def test_a_row_in_doubt_is_asked_in_a_closed_room_too() -> None:
    """Only the server's answer can settle a doubt."""
    rooms = RoomCache()
    rooms.record_response(pending(0), result_of(ARCHIVED))
    assert rooms.rejection(pending(1, in_doubt=True)) is None
    assert rooms.rejection(pending(1)) is not None


def test_a_room_may_close_later() -> None:
    """A room that was open is closed by the first answer that says so."""
    rooms = RoomCache()
    rooms.record_response(pending(0), result_of(OK))
    rooms.record_response(pending(1), result_of(ARCHIVED))
    assert rooms.rejection(pending(2)) is not None


@pytest.mark.parametrize("earlier", [[], [OK]])
def test_a_room_that_works_again_is_open_again(earlier: list[Reply]) -> None:
    """When a row in doubt was carried out in a rejected room, the rows after it are sent too."""
    rooms = RoomCache()
    for key, answer in enumerate([*earlier, ARCHIVED]):
        rooms.record_response(pending(key), result_of(answer))
    assert rooms.rejection(pending(8)) is not None
    rooms.record_response(pending(9, in_doubt=True), result_of(OK))
    assert rooms.rejection(pending(10)) is None


def test_rooms_do_not_wait_for_each_other() -> None:
    """An answer lets go only the rows of its own room."""
    rooms = RoomCache()
    rows = [pending(0, "a"), pending(1, "b"), pending(2, "a"), pending(3, "b")]
    assert [rooms.admit(row) for row in rows] == [True, True, False, False]
    assert rooms.record_response(rows[1], result_of(OK)) == [rows[3]]
    assert rooms.parked == 1


def test_parked_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound rows go themselves instead of waiting."""
    monkeypatch.setattr(module, "MAX_PARKED", 5)
    rooms = RoomCache()
    assert [rooms.admit(pending(key)) for key in range(8)] == [True] + [False] * 5 + [True] * 2
    assert rooms.parked == 5
    assert len(rooms.record_response(pending(0), result_of(OK))) == 5
    rooms.admit(pending(0, "other"))
    assert rooms.admit(pending(1, "other")) is False


@pytest.mark.parametrize("answer", [OK, ARCHIVED])
def test_the_memory_of_rooms_is_bounded(monkeypatch: pytest.MonkeyPatch, answer: Reply) -> None:
    """Beyond the bound the oldest room is forgotten and scouted anew; the newest are known."""
    monkeypatch.setattr(module, "MAX_ROOMS", 3)
    rooms = RoomCache()
    for key in range(10):
        row = pending(key, f"room{key}")
        assert rooms.admit(row) is True
        rooms.record_response(row, result_of(answer))
    for key in (7, 8, 9):
        assert [rooms.admit(pending(20, f"room{key}")), rooms.admit(pending(21, f"room{key}"))] == [True, True]
    assert [rooms.admit(pending(20, "room6")), rooms.admit(pending(21, "room6"))] == [True, False]
