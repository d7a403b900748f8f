"""The result of a check, as text and as JSON."""

from collections.abc import Iterator

from rolecall.app.check_job import CheckResult, Work
from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.terminal import console
from rolecall.cli.terminal.console import OutputMode
from rolecall.cli.views.run_summary import format_counts, format_stop, is_shown, show_rows, summary_json
from rolecall.models import Json
from rolecall.text import plural


def show_check(result: CheckResult, job_file: str, code: ExitCode, output: OutputMode) -> None:
    """Print what a check predicts; an incomplete one in any case."""
    if output.json:
        console.print_json(check_json(result, code))
    elif result.stop is not None:
        first = f"{format_stop(result.stop, 'check')} Nothing was changed."
        show_rows(result.summary, f"{first} {format_counts(result.summary)}")
    elif is_shown(code, output):
        first = f"Predicted; nothing was changed. {format_counts(result.summary)}"
        show_rows(result.summary, first, _sentences(result))
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
        "notJoined": result.not_joined,
        "wholeJob": _work_json(result.whole_job),
        "planned": None if result.plan is None else _work_json(result.planned),
        "plan": None if result.plan is None else str(result.plan),
    }


def _work_json(work: Work) -> Json:
    return {"calls": work.calls, "seconds": round(work.estimate.seconds) if work.estimate else None}


def _sentences(result: CheckResult) -> Iterator[str]:
    account = result.account
    limits = f"limited to {account.limits.limit} calls in a window" if account.limits else "not limited"
    server = f"Rocket.Chat {result.version}" if result.version else "Rocket.Chat"
    roles = ", ".join(account.roles) or "none"
    workspace = result.summary.identity.workspace
    yield f"{workspace}: {server}. {account.username}: roles {roles}; {limits} by the workspace."
    if result.changes:
        rooms = plural(result.changed_rooms, result.operation.kind.removesuffix("s"))
        yield f"Members will see {plural(result.changes, 'system message')} in {rooms}, one for each change."
    if result.not_joined:
        yield f"The account has not joined {plural(result.not_joined, 'group')} of this job; it must before the run."
    if result.whole_job.estimate:
        yield f"A run of all {result.whole_job.calls:,} pairs takes {result.whole_job.estimate}."
    if result.plan is not None:
        if result.planned.estimate:
            yield f"A run of the plan makes {plural(result.planned.calls, 'call')}: {result.planned.estimate}."
        yield f"Plan: {result.plan}"
