"""The content of the report, built from the statistics; the template only lays it out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from rolecall.display.html_report.axis_scales import (
    bars,
    format_milliseconds,
    format_moment,
    format_number,
    format_share,
)
from rolecall.display.html_report.charts import (
    NARROW,
    WIDE,
    Caption,
    latency_chart,
    outcome_chart,
    throughput_chart,
)
from rolecall.display.html_report.run_stats import MAX_ROOMS, RoomProblems, RunStats, quantile
from rolecall.display.html_report.timeline import Timeline, WaitStats, build_timeline
from rolecall.models import OUTCOMES, Evidence, Outcome
from rolecall.text import plural, sanitise

MAX_LISTED_ROOMS = 12
KILLED = "killed"
"""The key of the hint for a session that has no recorded end."""


class SessionSpan(NamedTuple):
    """One session of the run."""

    started_at: int
    """UTC, milliseconds since the epoch."""
    ended_at: int | None
    """None for a session that was killed."""
    stop: str
    """The reason to stop before the last row; empty if it reached the last row."""
    account: str


class Kpi(NamedTuple):
    """One key figure."""

    name: str
    value: str
    note: str


class Reason(NamedTuple):
    """The number of rows with one outcome for one reason."""

    outcome: Outcome
    reason: str
    rows: int
    share: float
    """Percent of the most frequent one: the length of its bar."""
    hint: str


class SessionRow(NamedTuple):
    """One session, formatted."""

    started: str
    took: str
    account: str
    ended: str


class Chart(NamedTuple):
    """A chart in each size, a sentence that sums it up, and its data as a table."""

    svgs: Sequence[Markup]
    sentence: str
    columns: Sequence[str]
    values: Sequence[Sequence[str]]


class ReportModel(NamedTuple):
    """The content of the report except the table of rows."""

    state: str
    stopped: bool
    outcomes: Sequence[tuple[Outcome, int, str]]
    """Each outcome with its rows and their share."""
    kpis: Sequence[Kpi]
    sessions: Sequence[SessionRow]
    ring: Markup
    throughput: Chart | None
    """None without calls, like `latency`."""
    latency: Chart | None
    has_pauses: bool
    has_outages: bool
    problems: Sequence[Reason]
    """Reasons of the rows that need attention."""
    notes: Sequence[Reason]
    """Reasons of the other rows."""
    rooms: Sequence[RoomProblems]
    """The rooms with the most rows that were not done."""
    all_rooms: int
    other_room_rows: int
    evidence: str
    """What the outcomes are based on, as a sentence; empty if no row was sent."""


def build_report_model(
    sessions: Sequence[SessionSpan], hints: Mapping[str, str], stats: RunStats, waits: WaitStats
) -> ReportModel:
    """Build the content of the report. `hints` says for each reason what a person can do."""
    spans = _working_spans(sessions, stats)
    waits.close(spans[-1][1] if spans else None)
    outcomes, total = stats.outcomes, stats.reasons.total()
    timeline = build_timeline(spans, stats, waits) if stats.last is not None else None
    reasons = _reasons(stats, hints)
    counts = ", ".join(f"{rows:,} {outcome.value}" for outcome, rows in outcomes.items()) or "no rows"
    state, stopped = _state(sessions, hints, _count_not_done(outcomes))
    return ReportModel(
        state=state,
        stopped=stopped,
        outcomes=[(outcome, outcomes[outcome], format_share(outcomes[outcome], total)) for outcome in Outcome],
        kpis=_kpis(stats, waits, spans),
        sessions=[_session_row(session, hints) for session in sessions],
        ring=outcome_chart(outcomes, Caption("Outcomes", f"{plural(total, 'row')}: {counts}.")),
        throughput=_throughput(timeline, waits) if timeline else None,
        latency=_latency(stats) if timeline else None,
        has_pauses=waits.paused_ms > 0,
        has_outages=waits.outage_ms > 0,
        problems=[reason for reason in reasons if OUTCOMES[reason.outcome].needs_attention],
        notes=[reason for reason in reasons if not OUTCOMES[reason.outcome].needs_attention],
        rooms=[
            room._replace(room_id=sanitise(room.room_id, limit=100), room_name=sanitise(room.room_name, limit=100))
            for room in stats.worst_rooms(MAX_LISTED_ROOMS)
        ],
        all_rooms=stats.rooms,
        other_room_rows=stats.other_room_rows if stats.rooms >= MAX_ROOMS else 0,
        evidence=_evidence(stats.evidence),
    )


def _evidence(rows: Mapping[str, int]) -> str:
    """Return what the outcomes are based on."""
    counts = ", ".join(f"{rows[word]:,} {word}" for word in Evidence if rows.get(word))
    if not counts:
        return ""
    inferred = rows.get(Evidence.INFERRED, 0)
    why = "prior role unknown, or no proof that a call of this run changed it; an undo leaves them out"
    note = f" {plural(inferred, 'row')}: {why}." if inferred else ""
    return f"Evidence of the outcomes: {counts}.{note}"


def _count_not_done(outcomes: Mapping[Outcome, int]) -> int:
    return sum(rows for outcome, rows in outcomes.items() if OUTCOMES[outcome].needs_attention)


def _working_spans(sessions: Sequence[SessionSpan], stats: RunStats) -> list[tuple[int, int]]:
    """Return begin and end of each session; a killed one ends with the next session, or with the last response."""
    spans = []
    for number, session in enumerate(sessions):
        last = max(stats.last or 0, session.started_at)
        following = sessions[number + 1].started_at if number + 1 < len(sessions) else last
        end = session.ended_at if session.ended_at is not None else min(last, following)
        spans.append((session.started_at, max(end, session.started_at)))
    return spans


def _state(sessions: Sequence[SessionSpan], hints: Mapping[str, str], not_done: int) -> tuple[str, bool]:
    """Return the state of the run as a sentence, and whether it needs attention."""
    if not sessions:
        return "Not started", True
    if stop := _stop_reason(sessions[-1]):
        return _capitalise(hints.get(stop, stop)), True
    return (f"Finished; {plural(not_done, 'row')} not done", True) if not_done else ("Finished", False)


def _stop_reason(session: SessionSpan) -> str:
    return session.stop or ("" if session.ended_at is not None else KILLED)


def _session_row(session: SessionSpan, hints: Mapping[str, str]) -> SessionRow:
    stop = _stop_reason(session)
    took = format_milliseconds(session.ended_at - session.started_at) if session.ended_at is not None else "not known"
    ended = _capitalise(hints.get(stop, stop)) if stop else "reached the last row"
    return SessionRow(format_moment(session.started_at), took, sanitise(session.account, limit=100), ended)


def _kpis(stats: RunStats, waits: WaitStats, spans: Sequence[tuple[int, int]]) -> list[Kpi]:
    total, not_done = stats.reasons.total(), _count_not_done(stats.outcomes)
    done = total - not_done
    working_ms = sum(end - begin for begin, end in spans)
    calls = stats.durations.total()
    rate = 1_000 * calls / working_ms if working_ms else 0.0
    throughput = f"{format_number(rate)}/s" if rate >= 1 else f"{format_number(60 * rate)}/min"
    kpis = [
        Kpi("rows done", f"{done:,}", f"{format_share(done, total)} of {total:,}"),
        Kpi("rows not done", f"{not_done:,}", format_share(not_done, total) if not_done else "no problems"),
        Kpi("working time", format_milliseconds(working_ms), plural(len(spans), "session")),
        Kpi("throughput", throughput, f"{plural(calls, 'row')} answered"),
    ]
    if calls:
        kpis.append(Kpi("call, median", _quantile(stats, 0.5), f"95 % within {_quantile(stats, 0.95)}"))
    if waits.pauses or waits.outages:
        counts = ((waits.pauses, "pause"), (waits.outages, "outage"))
        why = ", ".join(plural(count, noun) for count, noun in counts if count)
        kpis.append(Kpi("waiting time", format_milliseconds(waits.paused_ms + waits.outage_ms), why))
    return kpis


def _quantile(stats: RunStats, share: float) -> str:
    return format_milliseconds(quantile(stats.durations, share) or 0)


def _reasons(stats: RunStats, hints: Mapping[str, str]) -> list[Reason]:
    """Return the reasons, outcomes that need attention first, the most frequent reason of each outcome first."""
    order = sorted(Outcome, key=lambda outcome: not OUTCOMES[outcome].needs_attention)
    counts = [
        (outcome, reason, rows)
        for (outcome, reason), rows in stats.reasons.items()
        if reason or OUTCOMES[outcome].needs_attention
    ]
    most = max((rows for _, _, rows in counts), default=1)
    counts.sort(key=lambda each: (order.index(each[0]), -each[2]))
    return [
        Reason(outcome, sanitise(reason), rows, 100 * rows / most, _capitalise(hints.get(reason, "")))
        for outcome, reason, rows in counts
    ]


def _throughput(timeline: Timeline, waits: WaitStats) -> Chart:
    peak = max(bucket.rows for bucket in timeline.buckets)
    unit, per = (1.0, "second") if peak >= 1 else (60.0, "minute")
    sentence = f"Up to {format_number(peak * unit)} rows per {per}."
    if waits.pauses:
        sentence += f" Paused {plural(waits.pauses, 'time')}, {format_milliseconds(waits.paused_ms)} in total."
    if waits.outages:
        sentence += f" {plural(waits.outages, 'outage')}, {format_milliseconds(waits.outage_ms)} in total."
    caption = Caption(f"Rows per {per}, over the run's working time", sentence)
    values = [
        (
            format_moment(timeline.axis.time(number * timeline.width)),
            format_number(bucket.rows * unit),
            format_number(bucket.not_done * unit),
            f"{bucket.paused:.0%}",
            f"{bucket.outage:.0%}",
        )
        for number, bucket in enumerate(timeline.buckets)
    ]
    columns = ("from", f"rows/{per}", f"not done/{per}", "paused", "outage")
    svgs = [throughput_chart(timeline, size, unit, caption) for size in (WIDE, NARROW)]
    return Chart(svgs, sentence, columns, values)


def _latency(stats: RunStats) -> Chart:
    of = bars(stats.durations)
    shares = ((0.5, "half"), (0.95, "95 %"), (0.99, "99 %"))
    parts = ", ".join(f"{name} within {_quantile(stats, share)}" for share, name in shares)
    sentence = f"{parts.capitalize()}; the longest took {format_milliseconds(max(stats.durations))}."
    caption = Caption("Latency of the deciding call", sentence)
    values = [(format_milliseconds(bar.low), format_milliseconds(bar.high), f"{bar.calls:,}") for bar in of]
    svgs = [latency_chart(of, size, caption) for size in (WIDE, NARROW)]
    return Chart(svgs, sentence, ("from", "below", "calls"), values)


def _capitalise(hint: str) -> str:
    return hint[:1].upper() + hint[1:]
