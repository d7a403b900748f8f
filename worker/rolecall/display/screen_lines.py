"""The events that a person sees beside the live progress, as sentences; the log file has every event.

The progress itself shows rate limit pauses, overload, retries and failed rows; the summary shows the end.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from rolecall.text import format_duration, plural

ROUTINE_EVENTS = frozenset({"row failed", "row unknown", "retrying", "retrying read"})
"""Events that only the log file and JSON lines have: a large job has thousands of them, and the summary counts them."""

Values = Mapping[str, Any]


def _started(values: Values) -> str:
    return f"{plural(values['rows'], 'row')} to send as {values['account']}. Run: {values['folder']}"


def _not_notified(values: Values) -> str:
    detail = f": {values['detail']}" if values.get("detail") else ""
    return f"The message to {values['target']} was not posted ({values['reason']}){detail}."


SENTENCES = MappingProxyType[str, Callable[[Values], str]](
    {
        "run started": _started,
        "run resumed": lambda values: f"Continued: {_started(values)}",
        "outage began": lambda _: "The workspace does not answer. One probe at a time is sent until it does.",
        "outage ended": lambda values: f"The workspace answers again, after {format_duration(values['seconds'])}.",
        "long retry-after": lambda values: f"The workspace asks to wait until {values['until']} (Retry-After).",
        "notified": lambda values: f"The end was posted to {values['target']}.",
        "notification failed": _not_notified,
        "notice": lambda values: str(values["detail"]),
    }
)


def format_for_screen(values: Values) -> str:
    """Return an event as one line for a person, such as `12:02:27 300 rows to send ...`; empty if it is not shown."""
    sentence = SENTENCES.get(values["event"])
    if sentence is None:
        return ""
    clock = datetime.fromisoformat(str(values["timestamp"])).astimezone()
    return f"{clock:%H:%M:%S} {sentence(values)}"
