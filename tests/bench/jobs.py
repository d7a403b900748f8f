"""Job files whose ids carry the row's number, so that the target can tell exactly which rows reached it."""

from collections.abc import Iterator
from pathlib import Path

PER_ROOM = 8
"""Leaders in each group of a job."""


def pair(number: int) -> tuple[str, str]:
    """Give the room and the user of a row, counted from 0; each id has 17 characters, as Rocket.Chat's have."""
    return f"GRP{number // PER_ROOM:014d}", f"USR{number:014d}"


def pairs(rows: int) -> Iterator[tuple[str, str]]:
    """Give the pairs of a job."""
    return map(pair, range(rows))


def write_job(path: Path, rows: int) -> Path:
    """Write a CSV job file, one line at a time: this process must stay small (see measure)."""
    with path.open("w", encoding="ascii") as file:
        file.write("roomId,userId\n")
        file.writelines(f"{room},{user}\n" for room, user in pairs(rows))
    return path
