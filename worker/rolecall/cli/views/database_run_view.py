"""The runs of the database, as text and as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rolecall.cli.exit_codes import OF_STOP, ExitCode
from rolecall.cli.views.run_view import format_outcomes, format_stop, progress_json
from rolecall.engine.stop_signal import StopReason
from rolecall.models import OUTCOMES, Json
from rolecall.text import format_countdown, plural, rfc3339

if TYPE_CHECKING:  # they need the libraries of the distributed mode
    from rolecall.cluster.runs.records import ListedDatabaseRun
    from rolecall.cluster.runs.submit import Submitted


def database_run_cells(run: "ListedDatabaseRun") -> Sequence[str]:
    """Return the cells of a list of runs: started, state, operation, rows, outcomes, where."""
    outcomes = ", ".join(f"{rows:,} {outcome.value}" for outcome, rows in run.progress.outcomes.items())
    why = run.record.stop or run.problem
    state = f"{run.state} ({why})" if why else run.state.value
    when = _minute(run.record.created_at)
    return when, state, run.record.operation, f"{run.progress.total:,}", outcomes, run.record.name


def database_run_json(run: "ListedDatabaseRun") -> Json:
    """Return a run as JSON; keys with the meaning of those in `status --json` have the same names."""
    record, progress = run.record, run.progress
    return {
        "where": record.name,
        "run": record.run_id,
        "workspaceName": record.workspace,
        "workspace": record.url,
        "operation": record.operation,
        "state": run.state.value,
        "stop": record.stop,
        "problem": run.problem,
        **progress_json(progress),
        "shards": record.shards,
        "shardsDone": record.shards_done,
        "workers": [
            {"worker": each.worker, "host": each.host, "egress": each.egress, "shards": each.shards}
            for each in run.workers
        ],
        "schedule": record.schedule,
        "dueAt": None if record.due_at is None else rfc3339(round(record.due_at.timestamp() * 1000)),
        "parent": record.parent,
        "submittedAs": str(record.settings.get("submitted_as", "")),
        "reason": record.reason,
        "createdAt": rfc3339(record.created_at),
        "endedAt": rfc3339(record.ended_at),
    }


def database_run_lines(run: "ListedDatabaseRun") -> list[str]:
    """Return the state of one run, a line for each fact."""
    record, progress = run.record, run.progress
    lines = [f"{record.name.capitalize()}: {record.operation} at {record.url} ({record.workspace})"]
    lines.append(f"State: {run.state}{f', {run.problem}' if run.problem else ''}")
    speed = f", {progress.per_second:.1f} a second" if progress.per_second else ""
    left = f", {format_countdown(progress.remaining)} left" if progress.remaining else ""
    lines.append(f"Rows: {progress.done:,} of {progress.total:,} done{speed}{left}")
    lines.append(format_outcomes(run.counts) if run.counts else "No rows yet.")
    lines.append(f"Shards: {record.shards_done:,} of {record.shards:,} done")
    lines += [f"Worker: {each.worker} ({each.egress}), {plural(each.shards, 'shard')}" for each in run.workers]
    if record.schedule is not None and record.due_at is not None:
        lines.append(f"Schedule: {record.schedule}, due {rfc3339(round(record.due_at.timestamp() * 1000))}")
    if record.parent is not None:
        lines.append(f"Undo of run {record.parent}")
    if record.reason:
        lines.append(f"Reason: {record.reason}")
    ended = f", ended {_minute(record.ended_at)}" if record.ended_at is not None else ""
    account = record.settings.get("submitted_as")
    lines.append(f"Submitted {_minute(record.created_at)}{f' as {account}' if account else ''}{ended}")
    return lines


def end_sentence(run: "ListedDatabaseRun") -> str:
    """Return how a run ended, as a sentence."""
    stop = run.record.stop
    if stop in list(StopReason):
        return f"{format_stop(StopReason(stop), then='resume it')} {format_outcomes(run.counts)}"
    refused = f"It was refused: {run.record.stop_detail} " if stop else ""
    return f"{refused}{format_outcomes(run.counts)}" if run.counts else refused.strip()


def exit_code_of_database_run(run: "ListedDatabaseRun") -> ExitCode:
    """Return the exit code of a run that has ended, as `rolecall run` would have."""
    stop = run.record.stop
    if stop in list(StopReason):
        return OF_STOP.get(StopReason(stop), ExitCode.STOPPED)
    if stop:
        return ExitCode.USAGE
    return ExitCode.ROW_FAILURES if any(OUTCOMES[count.outcome].is_failure for count in run.counts) else ExitCode.OK


def submitted_json(submitted: "Submitted") -> dict[str, Json]:
    """Return a run that was submitted, as JSON."""
    return {
        "run": submitted.run_id,
        "rows": submitted.rows,
        "rooms": submitted.rooms,
        "shards": submitted.shards,
        "workspaceName": submitted.workspace,
        "operation": submitted.operation,
    }


def submitted_sentence(submitted: "Submitted") -> str:
    """Return what was submitted, as a sentence."""
    if not submitted.rows:
        return f"Run {submitted.run_id} has nothing to send."
    rows, rooms, shards = (
        plural(number, word)
        for number, word in ((submitted.rows, "row"), (submitted.rooms, "room"), (submitted.shards, "shard"))
    )
    return f"Submitted run {submitted.run_id}: {rows} in {rooms}, {shards}."


def _minute(at: int | None) -> str:
    text = rfc3339(at)
    return f"{text[:16].replace('T', ' ')}Z" if text else ""
