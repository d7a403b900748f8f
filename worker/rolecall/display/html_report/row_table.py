"""The rows of the report's table as compact JSON that cannot end the script element."""

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
    ("evidence", "evidence"),
)
"""The columns in the order of a row's values, each with its heading."""
MAX_MESSAGE_LENGTH = 500


class RowWriter:
    """Write each row as one JSON array. Outcome and reason are numbers; the page has the words for them."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._outcomes = {outcome: number for number, outcome in enumerate(Outcome)}
        self.reasons: dict[str, int] = {}
        """The number of each reason, in the order of first appearance."""
        self.rows = 0
        """Rows written."""

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
            sanitise(message, limit=MAX_MESSAGE_LENGTH) if message else "",
            result.evidence,
        )
        self._file.write((",\n" if self.rows else "[\n") + script_json(cells))
        self.rows += 1

    def close(self) -> None:
        """Write the end of the array."""
        self._file.write("\n]" if self.rows else "[]")


def script_json(value: object) -> str:
    """Return JSON for a script element, each `<` escaped, so that it contains neither `</script>` nor `<!--`."""
    return orjson.dumps(value).decode().replace("<", "\\u003c")
