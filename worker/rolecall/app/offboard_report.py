"""The combined report and the result of an offboarding."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

from rolecall.app.connection import AppContext
from rolecall.app.offboard_page import OperationFigures, PageHead, offboarding_page, person_result
from rolecall.app.offboarding import (
    Offboarding,
    OffboardRequest,
    OperationResult,
    RoleRow,
    open_offboarding,
    run_offboarding,
)
from rolecall.app.reports import add_waits, prepare_html_report
from rolecall.app.run_directory import Run, on_thread
from rolecall.engine.clock import Clock
from rolecall.engine.directory.leavers import Person
from rolecall.engine.stop_signal import StopReason
from rolecall.files.output.offboarding_csv import OffboardingRow, offboarding_csv
from rolecall.files.output.text_files import write_json
from rolecall.models import OUTCOMES, CsvStyle, Json, Outcome, Result
from rolecall.store.records import Count, count_by_outcome
from rolecall.text import rfc3339
from rolecall.version import __version__

_ALWAYS_COUNTED = (Outcome.REMOVED, *(outcome for outcome in Outcome if OUTCOMES[outcome].needs_attention))


class OffboardResult(NamedTuple):
    """How an offboarding ended."""

    folder: Path
    request: OffboardRequest
    workspace: str
    account: str
    started_at: int
    """UTC, milliseconds since the epoch."""
    ended_at: int
    people: Sequence[Person]
    operations: dict[str, Sequence[Count]]
    """The rows of each operation of the request by outcome and reason, also of those without rows."""
    results: dict[str, OperationResult]
    """Of the operations that were started."""
    pruned: int
    stop: StopReason | None = None
    detail: str = ""

    @property
    def missing(self) -> list[Person]:
        """The people whom the workspace does not have."""
        return [person for person in self.people if person.is_missing]

    @property
    def unreadable(self) -> list[Person]:
        """The people whose roles could not be read."""
        return [person for person in self.people if person.gap is not None and not person.is_missing]

    @property
    def people_by_state(self) -> dict[str, int]:
        """The number of people by what is known of them."""
        missing, unreadable = len(self.missing), len(self.unreadable)
        return {"found": len(self.people) - missing - unreadable, "missing": missing, "unreadable": unreadable}

    @property
    def counts(self) -> list[Count]:
        """The rows of the combined report by outcome and reason, one for each person of whom no role is known."""
        rows: Counter[tuple[Outcome, str]] = Counter()
        for counts in self.operations.values():
            rows.update({(count.outcome, count.reason): count.rows for count in counts})
        for person in self.people:
            if person.gap is not None:
                rows[outcome_of_person(person), person.gap.reason] += 1
        order = list(Outcome)
        counted = [Count(outcome, reason, number) for (outcome, reason), number in rows.items()]
        return sorted(counted, key=lambda count: (order.index(count.outcome), -count.rows, count.reason))

    @property
    def counts_for_metrics(self) -> list[Count]:
        """The counts with a zero for each other outcome, so that every night has the same series."""
        present = {count.outcome for count in self.counts}
        return [*self.counts, *(Count(outcome, "", 0) for outcome in _ALWAYS_COUNTED if outcome not in present)]

    @property
    def has_failures(self) -> bool:
        """Whether a row failed, or a person's roles are not known; missing people only where they count."""
        if self.unreadable or (self.missing and not self.request.ignores_missing):
            return True
        return any(OUTCOMES[count.outcome].is_failure for counts in self.operations.values() for count in counts)

    @property
    def differing(self) -> int:
        """Rows that were read back and are not as reported."""
        return sum(each.verified.differing for each in self.results.values() if each.verified is not None)

    @property
    def report_error(self) -> str:
        """Why the reports of a run could not be written."""
        return next((each.run.report_error for each in self.results.values() if each.run.report_error), "")

    def to_json(self) -> Json:
        """Return the content of `summary.json`."""
        request = self.request
        return {
            "workspace": self.workspace,
            "list": request.name,
            "reason": request.reason,
            "account": self.account,
            "startedAt": rfc3339(self.started_at),
            "endedAt": rfc3339(self.ended_at),
            "stop": "" if self.stop is None else self.stop.value,
            "people": {
                "listed": len(self.people),
                "found": self.people_by_state["found"],
                "missing": [_person_json(person) for person in self.missing],
                "unreadable": [_person_json(person) for person in self.unreadable],
            },
            "rows": sum(count.rows for count in self.counts),
            "outcomes": {outcome.value: rows for outcome, rows in count_by_outcome(self.counts).items()},
            "operations": [self._operation_json(name, counts) for name, counts in self.operations.items()],
            "foldersDeleted": self.pruned,
            "rolecall": __version__,
        }

    def _operation_json(self, name: str, counts: Sequence[Count]) -> Json:
        result = self.results.get(name)
        verified = result.verified if result is not None else None
        return {
            "operation": name,
            "folder": name if counts else None,
            "rows": sum(count.rows for count in counts),
            "outcomes": {outcome.value: rows for outcome, rows in count_by_outcome(counts).items()},
            "stop": "" if result is None or result.run.stop is None else result.run.stop.value,
            "differing": None if verified is None else verified.differing,
        }


async def offboard(request: OffboardRequest, out: Path | None, context: AppContext) -> OffboardResult:
    """Find, check, run and verify, and write the combined report.

    Raises RolecallError or OSError for everything that ends it before the first row is sent.
    """
    async with open_offboarding(request, out, context) as work:
        await run_offboarding(work, context)
        result = await _result(work, context)
        await _write_reports(work, result)
        return result


def outcome_of_person(person: Person) -> Outcome:
    """Return the outcome of a row that says that no role of a person is known."""
    return Outcome.INVALID if person.is_missing else Outcome.FAILED


async def _result(work: Offboarding, context: AppContext) -> OffboardResult:
    operations: dict[str, Sequence[Count]] = {}
    for operation in work.request.operations:
        run = work.runs.get(operation.name)
        operations[operation.name] = [] if run is None else await run.store.counts()
    return OffboardResult(
        work.folder,
        work.request,
        context.connection.url,
        work.connection.account.username,
        work.started_at,
        Clock().wall_ms(),
        work.people,
        operations,
        work.results,
        work.pruned,
        context.stop.reason,
        context.stop.detail,
    )


async def _write_reports(work: Offboarding, result: OffboardResult) -> None:
    table = offboarding_csv(work.folder / "report.csv", work.request.csv or CsvStyle())
    page = offboarding_page(work.folder / "report.html", await _page_head(work, result))
    async with on_thread(page) as write_result:  # its end comes last: the other reports are written if it fails
        async with on_thread(table) as write_row:

            def write(rows: Iterable[tuple[OffboardingRow, Result]]) -> None:
                for row, shown in rows:
                    write_row(row)
                    write_result(shown, row.operation)

            for name, run in work.runs.items():
                await _write_run(run, name, {(row.room_id, row.user_id): row for row in work.rows[name]}, write)
            people = [_person_row(person) for person in result.people if person.gap is not None]
            await asyncio.to_thread(write, [(row, person_result(row)) for row in people])
        await asyncio.to_thread(write_json, work.folder / "summary.json", result.to_json())


async def _page_head(work: Offboarding, result: OffboardResult) -> PageHead:
    await asyncio.to_thread(prepare_html_report)  # imports what is heavy
    from rolecall.display.html_report import SessionSpan, WaitStats

    waits = WaitStats()
    for run in work.runs.values():
        await add_waits(run.store, waits)
    stop = "" if result.stop is None else result.stop.value
    figures = []
    for name, counts in result.operations.items():
        verified = result.results[name].verified if name in result.results else None
        figures.append(OperationFigures(name, counts, None if verified is None else verified.differing))
    return PageHead(
        result.workspace,
        (await asyncio.to_thread(work.folder.resolve)).name,
        result.request.reason,
        sum(count.rows for count in result.counts),
        result.people,
        SessionSpan(result.started_at, result.ended_at, stop, result.account),
        figures,
        waits,
    )


async def _write_run(
    run: Run,
    name: str,
    rows: Mapping[tuple[str, str], RoleRow],
    write: Callable[[Iterable[tuple[OffboardingRow, Result]]], object],
) -> None:
    async with aclosing(run.store.results()) as pages:
        async for page in pages:
            written = [(_role_row(name, result, rows.get((result.room_id, result.user_id))), result) for result in page]
            await asyncio.to_thread(write, written)


def _role_row(operation: str, result: Result, row: RoleRow | None) -> OffboardingRow:
    return OffboardingRow(
        operation,
        row.person if row else "",
        result.room_id,
        row.room_name if row else "",
        result.user_id,
        row.username if row else "",
        result.outcome,
        result.reason,
        result.message,
        result.finished_at,
        result.evidence,
    )


def _person_row(person: Person) -> OffboardingRow:
    user, gap = person.user, person.gap
    return OffboardingRow(
        "",
        person.word,
        "",
        "",
        user.user_id if user else "",
        user.username if user else "",
        outcome_of_person(person),
        gap.reason if gap else "",
        gap.detail if gap else "",
        None,
        "",
    )


def _person_json(person: Person) -> Json:
    return {"person": person.word, "reason": person.gap.reason if person.gap else ""}
