"""The result of a search, as text and as JSON."""

from collections.abc import Iterator

from rolecall.app.find_roles import FindResult
from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.terminal import console
from rolecall.cli.terminal.console import OutputMode
from rolecall.cli.views.run_view import format_stop, is_shown
from rolecall.engine.directory.find_query import GAP_HINTS
from rolecall.models import Json
from rolecall.rocketchat.operations import REMOVE_LEADER
from rolecall.text import plural


def show_find(result: FindResult, code: ExitCode, output: OutputMode) -> None:
    """Print what was found: gaps on stderr in any case, the counts beside the job file."""
    if result.stop is not None:
        console.print_info(_stopped(result))
    for line in _warnings(result):
        console.print_info(line)
    if output.json:
        console.print_json(find_json(result, code))
    elif result.stop is None and is_shown(code, output):
        show = console.print_info if result.output is None else console.print_result
        for line in _sentences(result):
            show(line)


def find_json(result: FindResult, code: ExitCode) -> Json:
    """Return the counts of a search as JSON."""
    return {
        "output": None if result.output is None else str(result.output),
        "role": result.query.role.value,
        "kind": result.query.kind,
        "operation": result.operation.name,
        "stop": "" if result.stop is None else result.stop.value,
        "rows": result.rows,
        "users": result.users,
        "rooms": result.rooms,
        "excluded": result.excluded,
        "deactivated": result.deactivated,
        "activityUnknown": result.activity_unknown,
        "gaps": [
            {"reason": reason, "count": names.count, "first": names.first, "hint": GAP_HINTS[reason]}
            for reason, names in result.gaps.items()
        ],
        "unmatchedExclusions": list(result.unmatched_exclusions),
        "exitCode": int(code),
    }


def _stopped(result: FindResult) -> str:
    kept = (
        "Nothing was written; with --out FILE the same command could go on."
        if result.output is None
        else f"What was read is kept in {result.checkpoint}; the same command goes on."
    )
    return f"{format_stop(result.stop, 'search', then='')} {kept}" if result.stop is not None else ""


def _warnings(result: FindResult) -> Iterator[str]:
    """Yield what could not be read and what would show it, and which exclusions matched nothing."""
    for reason, names in result.gaps.items():
        yield f"Skipped ({reason}): {names}"
        yield f"    {GAP_HINTS[reason]}"
    for word in result.unmatched_exclusions:
        yield f"warning: --exclude {word} left nothing out; is it spelt as in the workspace?"


def _sentences(result: FindResult) -> Iterator[str]:
    role, kind = result.query.role.value, result.query.kind.removesuffix("s")
    if result.rows:
        users = f"{plural(result.users, 'user')} with the role {role} in {plural(result.rooms, kind)}"
        deactivated = f" {plural(result.deactivated, 'row')} of deactivated users." if result.deactivated else ""
        yield f"{plural(result.rows, 'row')}: {users}.{deactivated}"
    else:
        yield f"No rows: no user who could be read has the role {role} in one of these {kind}s."
    if result.excluded:
        yield f"Left out by --exclude: {plural(result.excluded, 'row')}."
    if result.notes is not None:
        yield f"Noted: {result.notes}."
    if result.activity_unknown:
        rows = plural(result.activity_unknown, "row")
        yield f"For {rows} the workspace did not report whether the user is active."
    if result.output is not None:
        yield f"Job file: {result.output}"
        if result.rows:
            operation = result.operation
            option = "" if operation is REMOVE_LEADER else f" --operation {operation.name}"
            yield f"Next: rolecall check {result.output}{option}"
