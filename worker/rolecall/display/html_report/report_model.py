"""What the page says, put together from what was counted; the template only lays it out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from rolecall.display.html_report import charts, formatting
from rolecall.display.html_report.axis_scales import bars
from rolecall.display.html_report.run_stats import MOST_ROOMS, Room, RunStats, quantile
from rolecall.display.html_report.timeline import Timeline, WaitStats, timeline
from rolecall.models import OUTCOMES, Outcome
from rolecall.text import plural, sanitise

MOST_WORST_ROOMS = 12
KILLED = "killed"
"""How the hints name the end of a session that did not end itself."""


class SessionSpan(NamedTuple):
    """One session of the run."""

    started_at: int
    """UTC, milliseconds since the epoch."""
    ended_at: int | None
    """None for a session that was killed."""
    stop: str
    """Why it stopped before the last row; empty when it reached it."""
    account: str


class Kpi(NamedTuple):
    """One number that says much."""

    name: str
    value: str
    more: str


class Reason(NamedTuple):
    """How many rows came to one outcome for one reason."""

    outcome: Outcome
    reason: str
    rows: int
    share: float
    """Of the most frequent one, in percent: the length of its bar."""
    hint: str


class SessionRow(NamedTuple):
    """One session in words."""

    started: str
    took: str
    account: str
    ended: str


class Chart(NamedTuple):
    """A picture in the sizes it is drawn in, what it says in one sentence, and its values as a table."""

    drawn: Sequence[Markup]
    sentence: str
    columns: Sequence[str]
    values: Sequence[Sequence[str]]


class ReportModel(NamedTuple):
    """All that the page says of the run as a whole."""

    state: str
    stopped: bool
    outcomes: Sequence[tuple[Outcome, int, str]]
    figures: Sequence[Kpi]
    sessions: Sequence[SessionRow]
    ring: Markup
    throughput: Chart | None
    latency: Chart | None
    held: bool
    away: bool
    troubles: Sequence[Reason]
    notes: Sequence[Reason]
    rooms: Sequence[Room]
    all_rooms: int
    other_rooms: int


def build_report_model(
    sessions: Sequence[SessionSpan], hints: Mapping[str, str], tally: RunStats, waits: WaitStats
) -> ReportModel:
    """Tell of a run what was counted of it."""
    spans = _spans(sessions, tally)
    waits.close(spans[-1][1] if spans else None)
    outcomes, total = tally.outcomes, tally.reasons.total()
    line = timeline(spans, tally, waits) if tally.last is not None else None
    reasons = _reasons(tally, hints)
    sentence = ", ".join(f"{rows:,} {outcome.value}" for outcome, rows in outcomes.items()) or "no rows"
    state, stopped = _state(
        sessions, hints, sum(outcomes[outcome] for outcome in outcomes if OUTCOMES[outcome].needs_attention)
    )
    return ReportModel(
        state=state,
        stopped=stopped,
        outcomes=[
            (outcome, outcomes[outcome], formatting.format_share(outcomes[outcome], total)) for outcome in Outcome
        ],
        figures=_figures(tally, waits, spans),
        sessions=[_told(session, hints) for session in sessions],
        ring=charts.outcomes(outcomes, "Outcomes", f"{plural(total, 'row')}: {sentence}."),
        throughput=_throughput(line, waits) if line else None,
        latency=_latency(tally) if line else None,
        held=waits.held_ms > 0,
        away=waits.away_ms > 0,
        troubles=[reason for reason in reasons if OUTCOMES[reason.outcome].needs_attention],
        notes=[reason for reason in reasons if not OUTCOMES[reason.outcome].needs_attention],
        rooms=[
            room._replace(room_id=sanitise(room.room_id, limit=100)) for room in tally.worst_rooms(MOST_WORST_ROOMS)
        ],
        all_rooms=tally.rooms,
        other_rooms=tally.other_rooms if tally.rooms >= MOST_ROOMS else 0,
    )


def _not_done(outcomes: Mapping[Outcome, int]) -> int:
    """Return how many rows need attention."""
    return sum(rows for outcome, rows in outcomes.items() if OUTCOMES[outcome].needs_attention)


def _spans(sessions: Sequence[SessionSpan], tally: RunStats) -> list[tuple[int, int]]:
    """Give begin and end of each session; one that was killed lasts at most until the next, or the last answer."""
    spans = []
    for number, session in enumerate(sessions):
        last = max(tally.last or 0, session.started_at)
        following = sessions[number + 1].started_at if number + 1 < len(sessions) else last
        end = session.ended_at if session.ended_at is not None else min(last, following)
        spans.append((session.started_at, max(end, session.started_at)))
    return spans


def _state(sessions: Sequence[SessionSpan], hints: Mapping[str, str], not_well: int) -> tuple[str, bool]:
    if not sessions:
        return "Not started", True
    stop = _stop(sessions[-1])
    if stop:
        return _sentence(hints.get(stop, stop)), True
    return (f"Finished; {plural(not_well, 'row')} not done", True) if not_well else ("Finished", False)


def _stop(session: SessionSpan) -> str:
    return session.stop or ("" if session.ended_at is not None else KILLED)


def _told(session: SessionSpan, hints: Mapping[str, str]) -> SessionRow:
    stop = _stop(session)
    took = (
        formatting.format_milliseconds(session.ended_at - session.started_at)
        if session.ended_at is not None
        else "not known"
    )
    ended = _sentence(hints.get(stop, stop)) if stop else "reached the last row"
    return SessionRow(formatting.format_moment(session.started_at), took, sanitise(session.account, limit=100), ended)


def _figures(tally: RunStats, waits: WaitStats, spans: Sequence[tuple[int, int]]) -> list[Kpi]:
    outcomes, total = tally.outcomes, tally.reasons.total()
    not_well = _not_done(outcomes)
    working = sum(end - begin for begin, end in spans)
    calls = tally.durations.total()
    rate, unit = _rate(1_000 * calls / working if working and calls else 0.0)
    figures = [
        Kpi("rows done", f"{total - not_well:,}", f"{formatting.format_share(total - not_well, total)} of {total:,}"),
        Kpi(
            "not done", f"{not_well:,}", formatting.format_share(not_well, total) if not_well else "nothing to look at"
        ),
        Kpi("working time", formatting.format_milliseconds(working), plural(len(spans), "session")),
        Kpi("throughput", f"{formatting.format_number(rate)}/{unit}", f"{plural(calls, 'row')} answered"),
    ]
    if calls:
        usual, worst = quantile(tally.durations, 0.5), quantile(tally.durations, 0.95)
        figures.append(
            Kpi(
                "call, median",
                formatting.format_milliseconds(usual or 0),
                f"95 % within {formatting.format_milliseconds(worst or 0)}",
            )
        )
    if waits.holds or waits.outages:
        counts = ((waits.holds, "hold"), (waits.outages, "outage"))
        why = ", ".join(plural(count, noun) for count, noun in counts if count)
        figures.append(Kpi("time waited", formatting.format_milliseconds(waits.held_ms + waits.away_ms), why))
    return figures


def _rate(a_second: float) -> tuple[float, str]:
    return (a_second, "s") if a_second >= 1 else (60 * a_second, "min")


def _reasons(tally: RunStats, hints: Mapping[str, str]) -> list[Reason]:
    order = sorted(Outcome, key=lambda outcome: not OUTCOMES[outcome].needs_attention)
    found = [
        (outcome, reason, rows)
        for (outcome, reason), rows in tally.reasons.items()
        if reason or OUTCOMES[outcome].needs_attention
    ]
    longest = max((rows for _, _, rows in found), default=1)
    found.sort(key=lambda each: (order.index(each[0]), -each[2]))
    return [
        Reason(outcome, sanitise(reason), rows, 100 * rows / longest, _sentence(hints.get(reason, "")))
        for outcome, reason, rows in found
    ]


def _throughput(line: Timeline, waits: WaitStats) -> Chart:
    peak = max(cell.rows for cell in line.cells)
    unit = 1.0 if peak >= 1 else 60.0
    per = "second" if unit == 1 else "minute"
    sentence = f"Up to {formatting.format_number(peak * unit)} rows a {per}."
    if waits.holds:
        sentence += f" Held {plural(waits.holds, 'time')}, {formatting.format_milliseconds(waits.held_ms)} in all."
    if waits.outages:
        sentence += (
            f" {plural(waits.outages, 'outage').capitalize()}, {formatting.format_milliseconds(waits.away_ms)} in all."
        )
    title = f"Rows a {per}, over the run's working time"
    drawn = [charts.throughput(line, size, unit, title, sentence) for size in (charts.WIDE, charts.NARROW)]
    values = [
        (
            formatting.format_moment(line.axis.time(number * line.width)),
            formatting.format_number(cell.rows * unit),
            formatting.format_number(cell.not_well * unit),
            f"{cell.held:.0%}",
            f"{cell.away:.0%}",
        )
        for number, cell in enumerate(line.cells)
    ]
    columns = ("from", f"rows/{per}", f"not done/{per}", "held", "workspace away")
    return Chart(drawn, sentence, columns, values)


def _latency(tally: RunStats) -> Chart:
    of = bars(tally.durations)
    shares = ((0.5, "half"), (0.95, "95 %"), (0.99, "99 %"))
    told = ", ".join(
        f"{name} within {formatting.format_milliseconds(quantile(tally.durations, share) or 0)}"
        for share, name in shares
    )
    sentence = f"{told.capitalize()}; the longest took {formatting.format_milliseconds(max(tally.durations))}."
    title = "Calls by how long the deciding one took"
    drawn = [charts.latency(of, size, title, sentence) for size in (charts.WIDE, charts.NARROW)]
    values = [
        (formatting.format_milliseconds(bar.low), formatting.format_milliseconds(bar.high), f"{bar.calls:,}")
        for bar in of
    ]
    return Chart(drawn, sentence, ("from", "below", "calls"), values)


def _sentence(hint: str) -> str:
    return hint[:1].upper() + hint[1:]
