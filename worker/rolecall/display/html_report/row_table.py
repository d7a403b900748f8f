"""The rows that the page's table shows, as compact JSON in which no text can end the script element."""

from typing import TextIO

import orjson

from rolecall.models import MAX_ID_LENGTH, Outcome, Result
from rolecall.text import sanitise

COLUMNS = (
    ("line", "line"),
    ("room", "room"),
    ("user", "user"),
    ("outcome", "outcome"),
    ("reason", "reason"),
    ("status", "HTTP"),
    ("attempts", "calls"),
    ("finished", "finished"),
    ("duration", "took"),
    ("message", "message"),
)
"""The table's columns in the order of a row's values, each with its heading."""
LONGEST_MESSAGE = 500


class RowWriter:
    """Writes each row as one JSON array while it passes by; outcome and reason as numbers, explained at the end."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._outcomes = {outcome: number for number, outcome in enumerate(Outcome)}
        self.reasons: dict[str, int] = {}
        """The number of each reason, in the order of their first appearance."""
        self.rows = 0

    def write(self, result: Result) -> None:
        """Write one row."""
        reason = self.reasons.setdefault(result.reason, len(self.reasons))
        message = result.message or result.error_type
        cells = (
            result.line,
            sanitise(result.room_id, limit=MAX_ID_LENGTH),
            sanitise(result.user_id, limit=MAX_ID_LENGTH),
            self._outcomes[result.outcome],
            reason,
            result.http_status,
            result.attempts,
            result.finished_at,
            result.duration_ms,
            sanitise(message, limit=LONGEST_MESSAGE) if message else "",
        )
        self._file.write((",\n" if self.rows else "[\n") + script_json(cells))
        self.rows += 1

    def close(self) -> None:
        """End the array."""
        self._file.write("\n]" if self.rows else "[]")


def script_json(value: object) -> str:
    """Write JSON for a script element: `<` as an escape, so that neither `</script>` nor `<!--` can stand in it."""
    return orjson.dumps(value).decode().replace("<", "\\u003c")
