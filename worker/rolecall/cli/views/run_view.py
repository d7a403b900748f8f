"""The result of a run, a check or a report, as text and as JSON; and what all results have in common."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from shlex import quote

from rolecall.app.check_job import CheckResult, Work
from rolecall.app.not_joined import NOT_JOINED_FILE
from rolecall.app.reasons import REASON_HINTS
from rolecall.app.removal_guard import format_excess, format_removals
from rolecall.app.reports import ReportSummary
from rolecall.app.run_directory import kind_of, operation_of
from rolecall.app.run_job import RunResult
from rolecall.app.run_paths import RunKind
from rolecall.app.verify_run import UNDO_FOLDER
from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.terminal import console
from rolecall.cli.terminal.console import OutputMode
from rolecall.cli.terminal.progress_reporter import ProgressReporter
from rolecall.display.console import SummaryLine, print_summary
from rolecall.engine.directory.hidden_rooms import HiddenRoom
from rolecall.engine.stop_signal import StopReason, stop_hint
from rolecall.models import Json, Outcome, Progress
from rolecall.store.base import StoreLoss
from rolecall.store.records import Count, RoomCount, count_by_outcome
from rolecall.text import format_room, plural


def show_run(result: RunResult, code: ExitCode, reporter: ProgressReporter, *, with_next_commands: bool = True) -> None:
    """Print how a run ended: a problem in any case, the rows and the next commands unless --quiet."""
    output, summary = reporter.mode, result.summary
    for problem in _problems(result):
        reporter.print_urgent(problem)
    if output.json:
        console.print_json(run_json(result, code))
    elif summary is not None and result.recorded and not result.report_error and is_shown(code, output):
        last = _next_commands(result, summary) if with_next_commands else ()
        show_rows(summary, _first_sentence(result, summary), last=last)
    if result.stop is StopReason.INTERRUPTED:
        console.mark_interruption_reported()


def run_json(result: RunResult, code: ExitCode) -> Json:
    """Return the result of a run as JSON: the content of summary.json and how the command ended."""
    content = {} if result.summary is None else summary_json(result.summary, code)
    error = result.report_error or ("" if result.recorded else result.detail)
    stop = {} if result.stop is None else {"stop": result.stop.value}
    return {**content, **stop, "folder": str(result.folder), "sent": result.sent, "error": error, "exitCode": int(code)}


def summary_json(summary: ReportSummary, code: ExitCode) -> Json:
    """Return the rows of a run or a check as JSON: the content of summary.json, the directory, the exit code."""
    return {**summary.to_json(), "folder": str(summary.folder), "exitCode": int(code)}


def show_report(summary: ReportSummary, code: ExitCode, output: OutputMode) -> None:
    """Print the rows of a run or a check whose reports were written again."""
    if output.json:
        console.print_json(summary_json(summary, code))
        return
    first = "Predicted; nothing was changed. " if kind_of(summary.identity) is RunKind.CHECK else ""
    show_rows(summary, f"{first}{format_counts(summary)}")


def is_shown(code: ExitCode, output: OutputMode) -> bool:
    """Return whether a result is printed as text."""
    return code is not ExitCode.OK or not output.quiet


def show_rows(summary: ReportSummary, first: str, further: Iterable[str] = (), *, last: Iterable[str] = ()) -> None:
    """Print the outcomes with their hints, the sentences, where the files are, and what can be done next."""
    folder = summary.folder
    lines = [
        SummaryLine(count.outcome, count.reason, count.rows, REASON_HINTS.get(count.reason, ""))
        for count in summary.counts
    ]
    if summary.inferred:
        further = [*further, format_inferred(summary)]
    if summary.rooms_not_joined:
        further = [*further, format_not_joined(summary)]
    sentences = [first, *further, f"Report: {folder / 'report.csv'}"]
    if (folder / "report.html").is_file():
        sentences.append(f"On one page: {folder / 'report.html'}")
    if summary.hidden_rooms:
        sentences.append(f"A text for their owners: {folder / NOT_JOINED_FILE}")
    if (folder / "retry.csv").is_file():
        sentences.append(f"Worth another run: {folder / 'retry.csv'}")
    sentences += last
    print_rows(lines, sentences)


def print_rows(lines: Sequence[SummaryLine], sentences: Sequence[str]) -> None:
    """Print outcomes with their hints, and sentences; an output that cannot be written ends nothing."""
    try:
        print_summary(lines, sentences, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except OSError as error:  # the reports are written all the same
        console.print_info(f"The summary could not be shown: {error.strerror}. {' '.join(sentences)}")


def format_counts(summary: ReportSummary) -> str:
    """Format the outcomes as one sentence, such as `300 rows: 240 removed, 60 not_leader.`."""
    return format_outcomes(summary.counts)


def format_outcomes(counts: Iterable[Count]) -> str:
    """Format counted rows as one sentence."""
    totals = count_by_outcome(counts)
    parts = ", ".join(f"{rows:,} {outcome.value}" for outcome, rows in totals.items())
    return f"{plural(totals.total(), 'row')}: {parts}."


def format_inferred(summary: ReportSummary) -> str:
    """Format how many outcomes are only inferred, and what that means."""
    rows = plural(summary.inferred, "row")
    why = "prior role unknown, or no proof that a call of this run changed it"
    return f"{rows}: {why} (evidence 'inferred'). An undo leaves them out."


def format_not_joined(summary: ReportSummary) -> str:
    """Format which rooms the account has to join, with their rows, and what to do."""
    account = summary.sessions[-1].account if summary.sessions else "The account"
    known = {room.room_id: room for room in summary.hidden_rooms}
    rooms = [_format_room_to_join(room, known.get(room.room_id)) for room in summary.not_joined]
    more = summary.rooms_not_joined - len(rooms)
    listed = ", ".join(rooms) + (f" and {more:,} more" if more > 0 else "")
    return f"{account} is not a member of {listed}: invite it first."


def _format_room_to_join(room: RoomCount, known: HiddenRoom | None) -> str:
    """Format a room with its rows, and with an owner where one is known."""
    name = room.room_name or (known.name if known is not None else "")
    owner = f", owner @{known.owners[0]}" if known is not None and known.owners else ""
    return f"{format_room(room.room_id, name)} ({plural(room.rows, 'row')}{owner})"


def format_stop(reason: StopReason, what: str = "run", then: str = "the same command goes on") -> str:
    """Format why a run, a check ... ended early, and what to do, as a sentence."""
    hint = stop_hint(reason, what, then)
    return f"{hint[0].upper()}{hint[1:]}."


def _first_sentence(result: RunResult, summary: ReportSummary) -> str:
    if not result.sent:
        return f"Nothing left to do, nothing was sent. {format_counts(summary)}"
    if result.stop is not None:
        return f"{format_stop(result.stop)} {format_counts(summary)}"
    return format_counts(summary)


def _next_commands(result: RunResult, summary: ReportSummary) -> Iterator[str]:
    """Yield the commands that a person may want after a run that has ended and changed something."""
    changed = count_by_outcome(summary.counts)[operation_of(summary.identity).done]
    if result.stop is None and changed:
        folder = quote(str(result.folder))
        yield f"Next: rolecall verify {folder}"
        if result.folder.name != UNDO_FOLDER:
            yield f"Undo: rolecall undo {folder}"


def _problems(result: RunResult) -> Iterable[str]:
    if result.loss is not None:
        yield f"{result.detail} The run stopped."
        yield _format_loss(result, result.loss)
    elif not result.recorded:
        yield f"{result.detail} The run stopped; rows without a recorded outcome are sent again."
        yield f"What was recorded is safe; the same command goes on. Run: {result.folder}"
    elif result.report_error:
        yield (
            f"The report could not be written into {result.folder}: {result.report_error}. The store is safe: "
            f"fix that, then 'rolecall report {result.folder}' writes it."
        )


def _format_loss(result: RunResult, loss: StoreLoss) -> str:
    """Format what is left of a store whose files were deleted or moved, and what to do."""
    if loss is StoreLoss.HELPER:
        return f"What was recorded is safe; the same command goes on. Run: {result.folder}"
    if loss is StoreLoss.DIRECTORY:
        return "What was recorded is in the moved directory: move it back, then the same command goes on."
    if result.report_error:
        return f"The report could not be written either: {result.report_error}. A new run does not know of this one."
    report = result.folder / "report.csv"
    return (
        f"What the run had done is only in {report}: keep it. A new run needs another --out, and knows nothing of it."
    )


def show_check(result: CheckResult, job_file: str, code: ExitCode, output: OutputMode) -> None:
    """Print what a check predicts; an incomplete one in any case."""
    if output.json:
        console.print_json(check_json(result, code))
    elif result.stop is not None:
        first = f"{format_stop(result.stop, 'check')} Nothing was changed."
        show_rows(result.summary, f"{first} {format_counts(result.summary)}")
    elif is_shown(code, output):
        first = f"Predicted; nothing was changed. {format_counts(result.summary)}"
        show_rows(result.summary, first, _check_sentences(result))
        if result.plan is not None:
            console.print_result(f"Next: rolecall run {job_file} --plan {result.plan}")


def check_json(result: CheckResult, code: ExitCode) -> Json:
    """Return a check as JSON: the content of summary.json, and what a run would do."""
    limits = result.account.limits
    return {
        **summary_json(result.summary, code),
        "stop": "" if result.stop is None else result.stop.value,
        "server": result.version,
        "account": result.account.username,
        "accountRoles": list(result.account.roles),
        "callsPerWindow": limits.limit if limits else None,
        "changes": result.changes,
        "changedRooms": result.changed_rooms,
        "removals": _removals_json(result),
        "notJoined": result.summary.rooms_not_joined,
        "wholeJob": _work_json(result.whole_job),
        "planned": None if result.plan is None else _work_json(result.planned),
        "plan": None if result.plan is None else str(result.plan),
    }


def _removals_json(result: CheckResult) -> Json:
    removals = result.removals
    if removals is None:
        return None
    return {
        "removals": removals.removals,
        "holders": removals.holders,
        "rooms": removals.rooms,
        "roomsEmptied": removals.emptied,
        "rowsUnread": removals.unread,
        "refused": format_excess(removals, result.operation),
        "refusedOnlyUnattended": not (removals.is_allowed or removals.limits.are_chosen),
    }


def _removal_sentences(result: CheckResult) -> Iterator[str]:
    """Yield what a run would take, and whether a limit would refuse it."""
    if result.removals is None or not result.removals.holders:
        return
    yield f"As the roles are now, {format_removals(result.removals, result.operation, 'a run')}."
    if why := format_excess(result.removals, result.operation):
        run = "A run" if result.removals.limits.are_chosen else "A run with --yes and without a plan"
        yield f"{run} would be refused before its first change: {why}."


def _work_json(work: Work) -> Json:
    return {"calls": work.calls, "seconds": round(work.estimate.seconds) if work.estimate else None}


def _check_sentences(result: CheckResult) -> Iterator[str]:
    account = result.account
    limits = f"limited to {account.limits.limit} calls in a window" if account.limits else "not limited"
    server = f"Rocket.Chat {result.version}" if result.version else "Rocket.Chat"
    roles = ", ".join(account.roles) or "none"
    workspace = result.summary.identity.workspace
    yield f"{workspace}: {server}. {account.username}: roles {roles}; {limits} by the workspace."
    yield from _removal_sentences(result)
    if result.changes:
        rooms = plural(result.changed_rooms, result.operation.kind.removesuffix("s"))
        yield f"Members will see {plural(result.changes, 'system message')} in {rooms}, one for each change."
    if result.whole_job.estimate:
        yield f"A run of all {result.whole_job.calls:,} pairs takes {result.whole_job.estimate}."
    if result.plan is not None:
        if result.planned.estimate:
            yield f"A run of the plan makes {plural(result.planned.calls, 'call')}: {result.planned.estimate}."
        yield f"Plan: {result.plan}"


def progress_json(progress: Progress) -> Json:
    """Return the rows of a run by outcome, and how fast they are done, as JSON."""
    return {
        "rows": progress.total,
        "done": progress.done,
        "inFlight": progress.in_flight,
        "outcomes": {outcome.value: progress.outcomes.get(outcome, 0) for outcome in Outcome},
        "perSecond": None if progress.per_second is None else round(progress.per_second, 2),
        "remainingSeconds": None if progress.remaining is None else round(progress.remaining),
    }
