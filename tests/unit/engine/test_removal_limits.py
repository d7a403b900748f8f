"""Limits on removals: what is counted of the rooms, and from which number on a run is refused."""

import pytest

from rolecall.engine.directory.lookups import RoomHolders
from rolecall.engine.directory.removal_forecast import RemovalForecast
from rolecall.engine.directory.role_reader import Unreadable
from rolecall.engine.removal_limits import NO_LIMITS, UNATTENDED_FROM, UNATTENDED_SHARE, RemovalLimits, RemovalThreshold
from rolecall.rocketchat.responses import RoleHolder

UNATTENDED = RemovalLimits(in_all=UNATTENDED_SHARE, from_removals=UNATTENDED_FROM)


@pytest.mark.parametrize(
    ("text", "removals", "holders", "exceeded"),
    [("5", 5, 5, False), ("5", 6, 100, True), ("50%", 5, 10, False), ("50%", 6, 10, True), ("0%", 0, 3, False)],
)
def test_a_threshold_that_is_met_exactly_allows(text: str, removals: int, holders: int, exceeded: bool) -> None:
    """Only more than the number, or than the share, is too much."""
    assert RemovalThreshold.parse(text).is_exceeded(removals, holders) is exceeded


@pytest.mark.parametrize(
    ("limits", "rows", "applies"),
    [
        (NO_LIMITS, 10_000, False),
        (UNATTENDED, 99, False),
        (UNATTENDED, 100, True),
        (RemovalLimits(keep=1), 1, True),
        (RemovalLimits(per_room=RemovalThreshold(50, is_percent=True)), 1, True),
    ],
)
def test_rooms_are_read_only_where_a_limit_can_refuse(limits: RemovalLimits, rows: int, applies: bool) -> None:
    """Without a limit, and below the number from which on it applies, nothing has to be counted."""
    assert limits.apply_to(rows) is applies


def forecast(limits: RemovalLimits, *rooms: tuple[int, int], unread: int = 0) -> RemovalForecast:
    """Return the forecast of rooms, each with its users with the role and the removals."""
    counted = RemovalForecast(limits)
    for number, (holders, removals) in enumerate(rooms):
        users = [f"user{number}" for number in range(holders)]
        leaders = {user: RoleHolder(user, user, frozenset({"leader"})) for user in users}
        owner = RoleHolder("owner", "owner", frozenset({"owner"}))
        asked_for = [*users[:removals], "owner", "stranger"]
        counted.count(f"room{number}", asked_for, RoomHolders({**leaders, "owner": owner}, None), "leader")
    if unread:
        counted.count("hidden", [f"user{number}" for number in range(unread)], Unreadable("http_5xx"), "leader")
    counted.count("not joined", ["user"], Unreadable("room_not_joined", rejects_room=True), "leader")
    return counted


def test_rooms_are_counted() -> None:
    """All users with the role count, and only rooms that lose one can be left with none or too few."""
    counted = forecast(RemovalLimits(keep=2), (3, 1), (4, 4), (1, 0), (2, 1), unread=3)
    assert (counted.holders, counted.removals, counted.rooms) == (13, 9, 4)
    assert (counted.emptied, counted.unread) == (1, 3)
    assert counted.rooms_below_keep == 3
    assert counted.named == ["room1", "room3", "hidden"]
    assert not counted.is_allowed


@pytest.mark.parametrize(
    ("rooms", "allowed"), [([(99, 99)], True), ([(100, 100)], False), ([(125, 100)], True), ([(124, 100)], False)]
)
def test_the_limit_of_unattended_runs(rooms: list[tuple[int, int]], allowed: bool) -> None:
    """More than 80 % is too much from 100 removals on."""
    assert forecast(UNATTENDED, *rooms).is_allowed is allowed
