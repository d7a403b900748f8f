"""The reports of a run, written from its store; the same for every command."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from rolecall.app.not_joined import NOT_JOINED_FILE, read_hidden_rooms, write_hidden_rooms
from rolecall.app.reasons import REASON_HINTS
from rolecall.app.run_directory import (
    REPORTS_STATE,
    RUN_REASON,
    Run,
    kind_of,
    on_thread,
    open_existing_run,
    operation_of,
)
from rolecall.app.run_list import counts_of_last_run
from rolecall.app.run_paths import RunKind
from rolecall.engine.directory.hidden_rooms import HiddenRoom
from rolecall.files.doubt_columns import RunTarget
from rolecall.files.output.report import ExtraReport, ReportFiles, belongs_in_retry_csv, open_reports
from rolecall.files.output.text_files import write_json
from rolecall.models import OUTCOMES, REPORT_FORMATS, CsvStyle, Evidence, Json, Outcome
from rolecall.rocketchat.error_table import ROOM_NOT_JOINED
from rolecall.store.base import RunStore, StoreError
from rolecall.store.records import Count, Identity, PauseKind, RoomCount, Session, count_by_outcome
from rolecall.text import rfc3339
from rolecall.version import __version__

if TYPE_CHECKING:  # heavy, and needed only at the end of a run
    from rolecall.display.html_report import ReportContext, WaitStats

PAUSES_PER_PAGE = 1000
MAX_LISTED_ROOMS = 10
"""Rooms that a summary lists."""
REPORT_STYLE = "report_style"
"""Key of the store's metadata: the style of the CSV files."""


class ReportSummary(NamedTuple):
    """What the store knows of a run or a check, counted; `summary.json` and every command's result are made of it."""

    folder: Path
    identity: Identity
    counts: Sequence[Count]
    sessions: Sequence[Session]
    evidence: Mapping[tuple[Outcome, str], int] = MappingProxyType({})
    """Rows by outcome and evidence."""
    rooms_not_joined: int = 0
    """Rooms that the account has to join before their rows can be done."""
    not_joined: Sequence[RoomCount] = ()
    """Those with the most rows."""
    reason: str = ""
    """Why the run was made, in the words of the operator."""
    hidden_rooms: Sequence[HiddenRoom] = ()
    """The rooms that the account has to join, with what is known of their owners."""

    @property
    def inferred(self) -> int:
        """Rows whose outcome is only inferred."""
        return self.count_evidence(Evidence.INFERRED)

    def count_evidence(self, evidence: Evidence) -> int:
        """Return the number of rows with this evidence."""
        return sum(rows for (_, word), rows in self.evidence.items() if word == evidence)

    @property
    def has_failures(self) -> bool:
        """Whether a row is failed, unknown or invalid."""
        return any(OUTCOMES[count.outcome].is_failure for count in self.counts)

    @property
    def is_unfinished(self) -> bool:
        """Whether a row was not attempted."""
        return any(count.outcome is Outcome.NOT_ATTEMPTED for count in self.counts)

    def to_json(self) -> Json:
        """Return the content of `summary.json`."""
        outcomes = count_by_outcome(self.counts)
        return {
            "workspace": self.identity.workspace,
            "operation": self.identity.operation,
            "jobDigest": self.identity.job_digest,
            "reason": self.reason,
            "rows": outcomes.total(),
            "outcomes": {outcome.value: outcomes[outcome] for outcome in _possible_outcomes(self.identity)},
            "reasons": [
                {"outcome": count.outcome.value, "reason": count.reason, "rows": count.rows}
                for count in self.counts
                if count.reason
            ],
            "roomsNotJoined": self.rooms_not_joined,
            "groupsToJoin": [
                {"roomId": room.room_id, "roomName": room.name, "owners": list(room.owners), "rows": room.rows}
                for room in self.hidden_rooms
            ],
            "evidence": {word.value: self.count_evidence(word) for word in Evidence},
            "stop": self.sessions[-1].stop_reason if self.sessions else "",
            "sessions": [session_json(session) for session in self.sessions],
            "rolecall": __version__,
        }


async def summarise(run: Run) -> ReportSummary:
    """Count the rows of a run. Raises StoreError."""
    store = run.store
    summary = ReportSummary(
        run.folder, run.identity, await store.counts(), await store.sessions(), await store.evidence_counts()
    )
    summary = summary._replace(
        reason=(await store.get_meta()).get(RUN_REASON, ""), hidden_rooms=await read_hidden_rooms(run)
    )
    reason = ROOM_NOT_JOINED.reason
    if all(count.reason != reason for count in summary.counts):
        return summary
    rooms, _ = await store.count_rooms_and_users([Outcome.FAILED], reason)
    not_joined = await store.rooms_by_pairs([Outcome.FAILED], reason, MAX_LISTED_ROOMS)
    return summary._replace(rooms_not_joined=rooms, not_joined=not_joined)


async def rewrite_reports(folder: Path, formats: Collection[str] = (), style: CsvStyle | None = None) -> ReportSummary:
    """Write the reports of the run or the check in a directory again.

    Raises RunLockedError, InvalidStoreError, StoreError and OSError.
    """
    async with open_existing_run(folder) as run:
        return await write_reports(run, formats, style)


async def csv_style(run: Run) -> CsvStyle:
    """Return the style in which the run's reports were written last."""
    delimiter, _, bom = (await run.store.get_meta()).get(REPORT_STYLE, ",").partition(" ")
    return CsvStyle(delimiter, bool(bom))


async def write_reports(run: Run, formats: Collection[str], style: CsvStyle | None = None) -> ReportSummary:
    """Write the reports and record that they are current. Raises OSError and StoreError."""
    summary = await write_report_files(run, formats, style)
    await mark_reports_current(run)
    return summary


async def mark_reports_current(run: Run) -> None:
    """Record that the reports have everything that the store knows."""
    await run.store.set_meta(**{REPORTS_STATE: "yes"})


async def write_report_files(run: Run, formats: Collection[str], style: CsvStyle | None = None) -> ReportSummary:
    """Write report.csv (and what `formats` names) and summary.json; for a run also retry.csv and report.html.

    Without a `style` the CSV files have the one of the last time. Raises OSError and StoreError.
    """
    store, is_run = run.store, run.kind is RunKind.RUN
    summary = await summarise(run)
    further = {"report.html": await _html_report(store, summary, formats)} if is_run else {}
    has_doubts = any(count.outcome is Outcome.UNKNOWN for count in summary.counts)
    target = RunTarget(run.identity.workspace, run.identity.operation)
    if style is None:
        style = await csv_style(run)
    else:
        with suppress(StoreError):  # a store that was deleted is still read
            await store.set_meta(**{REPORT_STYLE: f"{style.delimiter}{' bom' if style.has_bom else ''}"})
    files = ReportFiles(formats, further, retry=is_run, doubts_of=target if has_doubts else None, style=style)
    opened = open_reports(run.directory, await store.extra_columns(), files)
    async with on_thread(opened) as write, aclosing(store.results()) as pages:
        async for page in pages:
            await asyncio.to_thread(write, page)
    account = summary.sessions[-1].account if summary.sessions else ""
    await asyncio.to_thread(write_hidden_rooms, run.directory, summary.hidden_rooms, account)
    await asyncio.to_thread(write_json, run.directory / "summary.json", summary.to_json())
    return summary


def prepare_html_report() -> None:
    """Import what draws `report.html`, and compile its templates: on a thread, while a run waits for responses."""
    from rolecall.display.html_report import prepare

    prepare()


async def _html_report(store: RunStore, summary: ReportSummary, formats: Collection[str]) -> ExtraReport:
    since = await _since_last_run(summary)
    context = await asyncio.to_thread(_report_context, summary, formats, since)  # imports what is heavy
    await add_waits(store, context.waits)
    from rolecall.display.html_report import html_report

    return partial(html_report, context=context)


def _report_context(summary: ReportSummary, formats: Collection[str], since: str) -> "ReportContext":
    from rolecall.display.html_report import ReportContext, SessionSpan, WaitStats

    return ReportContext(
        workspace=summary.identity.workspace,
        operation=summary.identity.operation,
        run=summary.folder.resolve().name,
        reason=summary.reason,
        since_last_run=since,
        rows=sum(count.rows for count in summary.counts),
        spans=[SessionSpan(*session) for session in summary.sessions],
        hints=REASON_HINTS,
        links=_links(summary, formats),
        waits=WaitStats(),
        is_retryable=belongs_in_retry_csv,
        version=__version__,
    )


def _links(summary: ReportSummary, formats: Collection[str]) -> list[str]:
    """Return the names of the files that the page links."""
    names = ["report.csv", *(f"report.{name}" for name in REPORT_FORMATS if name in formats), "summary.json"]
    return [*names, NOT_JOINED_FILE] if summary.hidden_rooms else names


async def _since_last_run(summary: ReportSummary) -> str:
    """Return how the outcomes have changed since the run before, as a sentence; empty where there is none."""
    last = await counts_of_last_run(summary.folder, summary.identity)
    if last is None:
        return ""
    name, counts = last
    before, now = count_by_outcome(counts), count_by_outcome(summary.counts)
    parts = [
        f"{now[outcome]:,} {outcome.value} ({now[outcome] - before[outcome]:+,})"
        for outcome in Outcome
        if now[outcome] or before[outcome]
    ]
    return f"{', '.join(parts)}; before: {name}"


async def add_waits(store: RunStore, waits: "WaitStats") -> None:
    """Count the rate limit pauses and outages of a run; memory does not grow with them."""
    after = 0
    while pauses := await store.pauses(after, PAUSES_PER_PAGE):
        after = pauses[-1][0]
        for _, pause in pauses:
            if pause.kind is PauseKind.OUTAGE:
                waits.add_outage(pause.started_at, pause.ended_at)
            elif pause.kind is not PauseKind.SHUTDOWN and pause.until is not None:
                waits.add_pause(pause.started_at, pause.until)


def _possible_outcomes(identity: Identity) -> list[Outcome]:
    """Return the outcomes that rows of an operation can have, in the order of the reference."""
    own = operation_of(identity)
    changed = own.predicted if kind_of(identity) is RunKind.CHECK else own.done
    possible = (changed, own.nothing_to_do)
    return [outcome for outcome in Outcome if not OUTCOMES[outcome].is_success or outcome in possible]


def session_json(session: Session) -> Json:
    """Return a session as JSON, as in `summary.json`."""
    return {
        "startedAt": rfc3339(session.started_at),
        "endedAt": rfc3339(session.ended_at),
        "account": session.account,
        "stop": session.stop_reason,
    }
