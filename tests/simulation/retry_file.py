"""The rows of a run's `retry.csv`, as a new run reads them: written as cells, and parsed again."""

from collections.abc import Sequence

from rolecall.files.doubt_columns import DOUBT_COLUMNS, RunTarget, belongs_to, doubt_cells, take_doubt
from rolecall.files.output.report import belongs_in_retry_csv
from rolecall.models import Result, Row


def retry_rows(results: Sequence[Result], target: RunTarget) -> list[Row]:
    """Return the rows that are worth another run, with what is in doubt of them."""
    rows = []
    for result in filter(belongs_in_retry_csv, results):
        cells = dict(zip(DOUBT_COLUMNS, doubt_cells(result, target), strict=True))
        row = take_doubt(Row(result.line or 0, result.room_id, result.user_id, cells))
        assert isinstance(row, Row)
        rows.append(row if row.doubt is None or belongs_to(row, target) else row._replace(doubt=None))
    return rows
