"""How two runs compare, as text and as JSON."""

from collections.abc import Iterator

from rolecall.app.compare_runs import Comparison, Difference
from rolecall.cli.exit_codes import ExitCode
from rolecall.models import Json, Outcome
from rolecall.text import plural


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Return the comparison as lines for a person."""
    pairs = comparison.same + comparison.differing
    yield f"{plural(pairs, 'pair')}: {comparison.same:,} the same, {comparison.differing:,} not."
    for (before, after), rows in comparison.changes.most_common():
        yield f"  {rows:,}  {_word(before)} -> {_word(after)}"
    for row in comparison.first:
        why = f" ({row.reason})" if row.reason else ""
        yield f"{row.room_id} {row.user_id}: {_word(row.before)} -> {_word(row.after)}{why}"
    if (more := comparison.differing - len(comparison.first)) > 0:
        yield f"... and {more:,} more."


def comparison_json(comparison: Comparison, code: ExitCode) -> Json:
    """Return the comparison as JSON; `first` has the first pairs that differ."""
    return {
        "before": str(comparison.before),
        "after": str(comparison.after),
        "operation": comparison.operation,
        "same": comparison.same,
        "differing": comparison.differing,
        "changes": [
            {"before": before, "after": after, "rows": rows}
            for (before, after), rows in comparison.changes.most_common()
        ],
        "first": [_row_json(row) for row in comparison.first],
        "exitCode": int(code),
    }


def _row_json(row: Difference) -> Json:
    return {
        "roomId": row.room_id,
        "userId": row.user_id,
        "before": row.before,
        "after": row.after,
        "reason": row.reason,
    }


def _word(outcome: Outcome | None) -> str:
    return "not in it" if outcome is None else outcome.value
