"""Read events back from `run.log.jsonl`. The log is written without fsync: missing or torn lines are skipped."""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from rolecall.files.json_codec import parse_json_object
from rolecall.models import Json

MAX_EVENT_SIZE = 65_536
"""Bytes of one line that are read. Events are far shorter."""
TAIL_SIZE = 262_144
"""Bytes that `read_last_events` reads from the end of the log: some thousand events."""


def read_events(path: Path, names: Collection[str]) -> Iterator[Mapping[str, Json]]:
    """Yield the events with these names, in the order of the log; none if the file cannot be read."""
    encoded_names = [name.encode() for name in names]
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_EVENT_SIZE):
                if not any(name in line for name in encoded_names):  # far cheaper than to parse every line
                    continue
                event = parse_json_object(line) or {}
                name = event.get("event")
                if isinstance(name, str) and name in names:
                    yield event
    except OSError:
        return


def read_last_events(path: Path) -> list[dict[str, Json]]:
    """Return the events at the end of the log, oldest first; none if the file cannot be read.

    Symbolic links are not followed. The log may be written at the same time: an incomplete last line is skipped.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, TAIL_SIZE, max(0, size - TAIL_SIZE))
    except OSError:
        return []
    finally:
        os.close(descriptor)
    return [event for line in tail.splitlines() if (event := parse_json_object(line)) is not None]
