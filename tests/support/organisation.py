"""The organisation that whole commands are tried on, and what was done to it."""

import csv
from pathlib import Path

from rolecall.sandbox import World
from rolecall.sandbox.org_world import group, organisation_world, user

FAST = ("--rate", "unlimited")
RUN = (*FAST, "--yes", "--retry-backoff", "0.01")
LEADERS = [(group("finance-planning"), user("finance.lead")), (group("sales-budget"), user("sales.lead"))]
NO_LEADER = (group("finance-planning"), user("finance.deputy"))
NO_ROLE = (group("finance-planning"), user("finance.analyst"))
"""A member without roles, of whom the server says 200 to anything."""


def organisation() -> World:
    """Give a world to reorganise."""
    return organisation_world().world


def changes(world: World) -> list[tuple[str, str, str]]:
    """Give every change of a role that was asked for."""
    return [
        (call.route, call.room_id, call.user_id)
        for call in world.calls
        if ".remove" in call.route or ".add" in call.route
    ]


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
