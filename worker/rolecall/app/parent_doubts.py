"""What a parent run left in doubt: taken from the rows of its `retry.csv`, where it belongs to the run that starts."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from rolecall.files.doubt_columns import RunTarget, belongs_to
from rolecall.models import BadRow, Row
from rolecall.store.records import Identity


async def with_own_doubts(
    pages: AsyncIterator[Sequence[Row | BadRow]], identity: Identity
) -> AsyncGenerator[Sequence[Row | BadRow], None]:
    """Return the rows; a doubt that was edited, or is of another workspace or operation, is left out.

    So a check, whose identity is that of no run, takes over no doubt.
    """
    target = RunTarget(identity.workspace, identity.operation)
    async for page in pages:
        yield [_with_own_doubt(row, target) for row in page]


def _with_own_doubt(row: Row | BadRow, target: RunTarget) -> Row | BadRow:
    if isinstance(row, BadRow) or row.doubt is None or belongs_to(row, target):
        return row
    return row._replace(doubt=None)
