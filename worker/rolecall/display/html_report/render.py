"""Write the report: its head, then each row as compact JSON as it arrives, then what is known after the last."""

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import NamedTuple, Protocol, TextIO

import orjson
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from rolecall.display.html_report.report_model import SessionSpan, build_report_model
from rolecall.display.html_report.run_stats import RunStats, needs_no_attention
from rolecall.display.html_report.timeline import WaitStats
from rolecall.models import MAX_ID_LENGTH, OUTCOMES, Outcome, Result
from rolecall.text import format_room, format_user, sanitise

MAX_ROWS = 100_000
"""Rows in the report's table."""
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
"""The columns in the order of a row's values, each with its heading; then come the names of the room and the user."""
MAX_MESSAGE_LENGTH = 500


COLUMNS_OF_SEVERAL = (
    ("operation", "operation"),
    *(column for column in COLUMNS if column[0] not in ("line", "status", "attempts")),
)
"""The columns of a page of several operations; their own pages have the others."""


class OperationSummary(NamedTuple):
    """One operation of a page of several; its own page is in the directory of its name."""

    name: str
    rows: int
    outcomes: Sequence[tuple[Outcome, int]]
    read_back: str
    """What was read back, in words; empty without rows."""


class ReportContext(NamedTuple):
    """What the report contains besides the rows."""

    workspace: str
    operation: str
    run: str
    """The name of the run's folder."""
    rows: int
    """The number of results. If it is above `MAX_ROWS`, rows that need no attention are left out."""
    spans: Sequence[SessionSpan]
    hints: Mapping[str, str]
    """For each reason, what a person can do."""
    links: Sequence[str]
    """Names of the other reports in the same folder."""
    waits: WaitStats
    is_retryable: Callable[[Result], bool]
    """Return whether a row is in `retry.csv`."""
    version: str
    reason: str = ""
    """Why the run was made, in the words of the operator."""
    since_last_run: str = ""
    """How the outcomes have changed since the run before."""
    facts: Sequence[tuple[str, str]] = ()
    """Further facts for the head, each with its name."""
    operations: Sequence[OperationSummary] = ()
    """Of a page of several operations."""


class WriteRow(Protocol):
    """Writes one row of the page."""

    def __call__(self, result: Result, operation: str = "", /) -> object:
        """Write a row."""


@contextmanager
def html_report(file: TextIO, context: ReportContext, max_rows: int = MAX_ROWS) -> Iterator[WriteRow]:
    """Write the report of a run: yield a function that writes one result; the end of the block completes the file.

    On a page of several operations the function also gets the operation of the row; empty for a row that has no room.
    """
    workspace, operation, run, reason = (
        sanitise(text, limit=500) for text in (context.workspace, context.operation, context.run, context.reason)
    )
    facts = [(name, sanitise(text, limit=500)) for name, text in context.facts]
    context = context._replace(workspace=workspace, operation=operation, run=run, reason=reason, facts=facts)
    script = _asset("page.js")
    file.write(_head(context, script))
    file.write('\n<script type="application/json" id="rows">')
    stats, rows = RunStats(), RowWriter(file)
    all_rows = context.rows <= max_rows
    retries = 0

    def write(result: Result, operation: str = "") -> None:
        nonlocal retries
        stats.add(result, has_room=bool(operation) or not context.operations)
        is_done = needs_no_attention(result)
        if not is_done:
            retries += context.is_retryable(result)
        if rows.rows < max_rows and (all_rows or not is_done):
            rows.write(result, operation if context.operations else None)

    yield write
    rows.close()
    words = {"outcomes": [outcome.value for outcome in Outcome], "reasons": list(rows.reasons)}
    file.write(f'</script>\n<script type="application/json" id="words">{script_json(words)}</script>\n')
    body = _template("body.html").generate(
        context=context,
        model=build_report_model(context.spans, context.hints, stats, context.waits),
        links=["retry.csv", *context.links] if retries else context.links,
        retries=retries,
        columns=COLUMNS_OF_SEVERAL if context.operations else COLUMNS,
        shown=rows.rows,
        max_rows=max_rows,
        script=Markup(script),  # noqa: S704 - a file of this package
    )
    file.writelines(body)
    file.write("\n")


def prepare() -> None:
    """Compile the templates, so that the end of a run does not wait for it."""
    for name in ("head.html", "body.html"):
        _template(name)


@cache
def _template(name: str) -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_asset(name))


def _head(context: ReportContext, script: str) -> str:
    """Return the head of the page; its Content-Security-Policy allows only the page's own style and script."""
    style = _asset("page.css") + _outcome_colours()
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return _template("head.html").render(context=context, policy=policy, style=Markup(style))  # noqa: S704 - a file of this package


def _outcome_colours() -> str:
    """Return the CSS rules that give the class of each outcome the colour of its style."""
    return "".join(
        f".{outcome.value} {{ --mark: var(--{properties.style.replace(' ', '-')}); }}\n"
        for outcome, properties in OUTCOMES.items()
    )


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """Return the hash by which a Content-Security-Policy allows exactly this text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


class RowWriter:
    """Write each row as one JSON array. Outcome and reason are numbers; the page has the words for them."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._outcomes = {outcome: number for number, outcome in enumerate(Outcome)}
        self.reasons: dict[str, int] = {}
        """The number of each reason, in the order of first appearance."""
        self.rows = 0
        """Rows written."""

    def write(self, result: Result, operation: str | None = None) -> None:
        """Write one row; `operation` is its last value, if there is one."""
        reason = self.reasons.setdefault(result.reason, len(self.reasons))
        row = row_json(result, self._outcomes[result.outcome], reason)
        if operation is not None:
            row = f"{row[:-1]},{script_json(operation)}]"
        self._file.write((",\n" if self.rows else "[\n") + row)
        self.rows += 1

    def close(self) -> None:
        """Write the end of the array."""
        self._file.write("\n]" if self.rows else "[]")


def row_json(result: Result, outcome: int, reason: int) -> str:
    """Return one row of the table; `outcome` and `reason` are the numbers that stand for them."""
    message = result.message or result.error_type
    ids = result.room_id + result.user_id
    if not message and ids.isalnum() and ids.isascii() and len(ids) <= MAX_ID_LENGTH:  # as most: nothing to sanitise
        room, user, message = result.room_id, result.user_id, ""
    else:
        room, user = (sanitise(text, limit=MAX_ID_LENGTH) for text in (result.room_id, result.user_id))
        message = sanitise(message, limit=MAX_MESSAGE_LENGTH)
    room_name = sanitise(format_room("", result.room_name), limit=MAX_ID_LENGTH)
    username = sanitise(format_user("", result.username), limit=MAX_ID_LENGTH)
    return script_json(
        (
            result.line, room, user, outcome, reason, result.http_status, result.attempts, result.finished_at,
            result.duration_ms, message, result.evidence, room_name, username,
        )
    )  # fmt: skip


def script_json(value: object) -> str:
    """Return JSON for a script element, each `<` escaped, so that it contains neither `</script>` nor `<!--`."""
    return orjson.dumps(value).decode().replace("<", "\\u003c")
