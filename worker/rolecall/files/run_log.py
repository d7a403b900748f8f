"""The log of a run, read back for its report: what can be read of it, and no more than a line at a time."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import orjson

from rolecall.models import Json

LONGEST_LINE = 65_536
"""Bytes; ours are far shorter."""


def read_events(path: Path, names: Collection[str]) -> Iterator[Mapping[str, Json]]:
    """Give the log's events of these names, in its order.

    The log is not the truth, so what is missing, torn or no JSON is passed over. Raises nothing.
    """
    wanted = [name.encode() for name in names]
    try:
        with path.open("rb") as file:
            while line := file.readline(LONGEST_LINE):
                if not any(name in line for name in wanted):  # far cheaper than to read every line's JSON
                    continue
                event = _event(line)
                if event.get("event") in names:
                    yield event
    except OSError:
        return


def _event(line: bytes) -> Mapping[str, Json]:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else {}
