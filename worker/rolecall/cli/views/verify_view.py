"""The result of a verification, as text and as JSON."""

from collections.abc import Iterator

from rolecall.app.verify_run import VerifyResult
from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.terminal import console
from rolecall.cli.terminal.console import OutputMode
from rolecall.cli.views.run_view import format_stop, is_shown
from rolecall.engine.directory.role_verify import VerifiedRow, VerifyStatus
from rolecall.models import Json, Outcome
from rolecall.text import format_room, format_user, plural

WORDS = {
    VerifyStatus.AGREES: "as the report says",
    VerifyStatus.DIFFERS: "otherwise",
    VerifyStatus.SETTLED: "unknown until now and settled",
    VerifyStatus.OPEN: "open (a call may still arrive)",
    VerifyStatus.UNREAD: "not readable",
}


def show_verification(result: VerifyResult, code: ExitCode, output: OutputMode) -> None:
    """Print how the workspace compares with the report; an early end in any case."""
    if result.stop is not None:
        console.print_info(format_stop(result.stop, "verification", "the same command begins it anew"))
    if output.json:
        console.print_json(verify_json(result, code))
    elif is_shown(code, output):
        for sentence in _sentences(result):
            console.print_result(sentence)


def verify_json(result: VerifyResult, code: ExitCode) -> Json:
    """Return a verification as JSON; `first` has the first rows of verify.csv."""
    return {
        "folder": str(result.folder),
        "operation": result.operation.name,
        "stop": "" if result.stop is None else result.stop.value,
        "rows": {status.value: result.found.get(status, 0) for status in VerifyStatus},
        "first": [_row_json(row) for row in result.first],
        "rowsFile": str(result.rows_file) if result.listed and result.stop is None else None,
        "undo": None if result.undo is None else str(result.undo),
        "exitCode": int(code),
    }


def _row_json(row: VerifiedRow) -> Json:
    pair = row.pair
    return {
        "line": pair.line,
        "roomId": pair.room_id,
        "userId": pair.user_id,
        "roomName": pair.room_name,
        "username": pair.username,
        "outcome": (pair.outcome or Outcome.UNKNOWN).value,
        "hasRole": row.has_role,
        "finding": row.finding.value,
        "why": row.why,
    }


def _sentences(result: VerifyResult) -> Iterator[str]:
    for row in result.first:
        pair, outcome = row.pair, row.pair.outcome or Outcome.UNKNOWN
        where = "no longer in the job" if pair.line is None else f"line {pair.line}"
        room = _beside_id(format_room("", pair.room_name), pair.room_id)
        user = _beside_id(format_user("", pair.username), pair.user_id)
        yield f"{where}, {user} in {room}: reported {outcome}, but {_read_back(result, row)}"
    if result.listed > len(result.first):
        yield f"... and {result.listed - len(result.first):,} more"
    complete = result.stop is None
    parts = ", ".join(f"{rows:,} {words}" for status, words in WORDS.items() if (rows := result.found.get(status, 0)))
    nothing = "none says anything of a role" if complete else "none so far"
    yield f"{plural(sum(result.found.values()), 'row')} read back: {parts or nothing}."
    if result.undo is not None:
        yield f"There is an undo of this run: {result.undo}"
    if result.listed and complete:
        yield f"Rows to look at: {result.rows_file}"


def _beside_id(name: str, subject_id: str) -> str:
    return f"{name} ({subject_id})" if name else subject_id


def _read_back(result: VerifyResult, row: VerifiedRow) -> str:
    if row.finding is VerifyStatus.OPEN:
        return "the role is as before, and a call may still arrive: verify again later"
    if row.has_role is None:
        return f"it could not be read ({row.why})"
    return f"{'is' if row.has_role else 'is no'} {result.operation.role} now"
