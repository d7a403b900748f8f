"""The page of an offboarding, `report.html`: the rows of all its runs, and the people whose roles are not known."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from rolecall.app.reasons import REASON_HINTS
from rolecall.engine.directory.find_query import GAP_HINTS
from rolecall.engine.directory.leavers import Person
from rolecall.file_access import Target
from rolecall.files.output.offboarding_csv import OffboardingRow
from rolecall.files.output.text_files import replace_atomically
from rolecall.models import Outcome, Result
from rolecall.store.records import Count, count_by_outcome
from rolecall.version import __version__

if TYPE_CHECKING:  # heavy, and needed only at the end
    from rolecall.display.html_report import OperationSummary, ReportContext, SessionSpan, WaitStats

MAX_NAMES = 10
"""People that the head of the page names; the table has them all."""


class OperationFigures(NamedTuple):
    """How one operation ended."""

    name: str
    counts: Sequence[Count]
    differing: int | None
    """Rows that were read back and are not as reported; None where nothing was read back."""


class PageHead(NamedTuple):
    """What the page shows besides the rows."""

    workspace: str
    folder: str
    """The name of the folder."""
    reason: str
    rows: int
    people: Sequence[Person]
    span: "SessionSpan"
    operations: Sequence[OperationFigures]
    waits: "WaitStats"


WriteRow = Callable[[Result, str], object]
"""Writes a row of a run, with its operation; a person whose roles are not known has none."""


@contextmanager
def offboarding_page(target: Target, head: PageHead) -> Iterator[WriteRow]:
    """Write the page: yield a function that writes one row. It replaces `target` at the end. Raises OSError."""
    from rolecall.display.html_report import html_report

    with replace_atomically(target) as file, html_report(file, _context(head)) as write:
        yield write


def person_result(row: OffboardingRow) -> Result:
    """Return the row of a person whose roles are not known as the page shows it."""
    is_name = row.person.startswith("@")
    name, user_id = (row.person[1:], "") if is_name else ("", row.person)  # an address is shown as it is
    return Result(
        None, "", row.user_id or user_id, row.outcome, row.reason, None, "", row.message, 0, None, None, None, {},
        username=row.username or name,
    )  # fmt: skip


def _context(head: PageHead) -> "ReportContext":
    from rolecall.display.html_report import ReportContext

    missing = [person.word for person in head.people if person.is_missing]
    unreadable = [person.word for person in head.people if person.gap is not None and not person.is_missing]
    found = len(head.people) - len(missing) - len(unreadable)
    facts = [("People", f"{found:,} of {len(head.people):,} found")]
    facts += [
        (name, _format_people(words)) for name, words in (("Not found", missing), ("Not readable", unreadable)) if words
    ]
    return ReportContext(
        workspace=head.workspace,
        operation="offboard",
        run=head.folder,
        reason=head.reason,
        rows=head.rows,
        spans=[head.span],
        hints=GAP_HINTS | REASON_HINTS,
        links=["report.csv", "summary.json"],
        waits=head.waits,
        is_retryable=lambda _: False,
        version=__version__,
        facts=facts,
        operations=[_summary(each) for each in head.operations],
    )


def _format_people(words: Sequence[str]) -> str:
    more = f" and {len(words) - MAX_NAMES:,} more" if len(words) > MAX_NAMES else ""
    return f"{', '.join(words[:MAX_NAMES])}{more}"


def _summary(figures: OperationFigures) -> "OperationSummary":
    from rolecall.display.html_report import OperationSummary

    outcomes = count_by_outcome(figures.counts)
    read_back = "as reported" if figures.differing == 0 else ""
    if figures.differing:
        read_back = f"{figures.differing:,} differ"
    counts: list[tuple[Outcome, int]] = [(outcome, rows) for outcome, rows in outcomes.items() if rows]
    return OperationSummary(figures.name, outcomes.total(), counts, read_back or ("not read" if counts else ""))
