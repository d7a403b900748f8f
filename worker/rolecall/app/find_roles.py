"""Find who has which role where: read the workspace, keep what was read, write the job file."""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from rolecall.app.connection import AppContext, Connection, connect, open_read_session, run_reading
from rolecall.app.errors import OperatorError
from rolecall.app.observer import FindStarted
from rolecall.app.run_directory import on_thread
from rolecall.engine.directory.find import search_roles
from rolecall.engine.directory.find_query import Exclusions, FindQuery
from rolecall.engine.stop_signal import StopReason
from rolecall.files.checkpoint import FindCheckpoint
from rolecall.files.input.id_list import find_word_problem
from rolecall.files.output.csv_files import write_find_csv
from rolecall.files.output.text_files import replace_atomically
from rolecall.models import Advice, LookupGap, LookupResult, RoleAssignment
from rolecall.rocketchat.operations import OPERATIONS, Operation
from rolecall.text import rfc3339

MAX_NAMES = 10
"""Names that are kept of a group; the others are counted."""

WriteRows: TypeAlias = Callable[[Iterable[RoleAssignment]], None]
"""Takes all rows, and reads them once."""


class FindRequest(NamedTuple):
    """What is searched, and where the rows go."""

    query: FindQuery
    excluded: tuple[str, ...] = ()
    output: Path | None = None
    """The job file to write; without it the rows go to the caller's function."""


@dataclass(slots=True)
class NamedItems:
    """Some names: the first of them, and how many there are."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count one."""
        self.count += 1
        if len(self.first) < MAX_NAMES:
            self.first.append(name)

    def __str__(self) -> str:
        more = self.count - len(self.first)
        return ", ".join(self.first) + (f" and {more:,} more" if more else "")


class FindResult(NamedTuple):
    """What was found, counted."""

    query: FindQuery
    output: Path | None
    stop: StopReason | None = None
    """Why the search ended early; nothing was written then."""
    rows: int = 0
    users: int = 0
    rooms: int = 0
    excluded: int = 0
    deactivated: int = 0
    """Rows of deactivated users."""
    activity_unknown: int = 0
    """Rows whose users the workspace does not report as active or deactivated."""
    gaps: Mapping[str, NamedItems] = {}
    """By reason, what could not be read, so that rows may be missing."""
    notes: NamedItems | None = None
    unmatched_exclusions: Sequence[str] = ()
    """Exclusions that matched no row."""

    @property
    def checkpoint(self) -> Path | None:
        """The file of an unfinished search; None where there is none."""
        return checkpoint_path(self.output)

    @property
    def operation(self) -> Operation:
        """The operation that takes the role away from these users."""
        return OPERATIONS[f"{self.query.kind}.remove{self.query.role.title()}"]


def require_words(words: Iterable[str]) -> tuple[str, ...]:
    """Return ids and names without duplicates. Raises OperatorError for one that cannot be an id or a name."""
    trimmed = tuple(dict.fromkeys(word.strip() for word in words))
    for word in trimmed:
        if fault := "is empty" if word in ("", "@", "#") else find_word_problem(word):
            raise OperatorError(f"{word[:40]!r} {fault}: give an id or a name.")
    return trimmed


def require_new_file(path: Path) -> None:
    """Raise OperatorError for a file that exists, or that cannot be created."""
    if os.path.lexists(path):
        raise OperatorError(f"{path} exists and is left as it is; remove it.", Advice.OTHER_FILE)
    if not path.parent.is_dir():
        raise OperatorError(f"{path} cannot be written: there is no folder {path.parent}.")


def checkpoint_path(output: Path | None) -> Path | None:
    """Return where the unfinished search for a job file is kept."""
    return None if output is None else output.with_name(f"{output.name}.part")


async def find_roles(request: FindRequest, context: AppContext, write: WriteRows) -> FindResult:
    """Find the roles and write them: into the request's output file, or without one by `write`.

    Raises RolecallError or OSError for everything that ends it before its work.
    """
    checkpoint, url = checkpoint_path(request.output), context.connection.url
    async with connect(context) as connection:
        part = await asyncio.to_thread(FindCheckpoint, checkpoint, url, request.query.digest)
        async with on_thread(part):
            await _read(request, connection, part, context)
            if context.stop.reason is not None:
                return FindResult(request.query, request.output, context.stop.reason)
            return await asyncio.to_thread(_write, request, part, write)


async def _read(request: FindRequest, connection: Connection, part: FindCheckpoint, context: AppContext) -> None:
    """Read everything that is not known yet; after an early end the context's stop has the reason."""
    done, query = await asyncio.to_thread(_known_targets, part), request.query
    left = max(0, (query.units or 0) - len(done))
    estimate = connection.estimate(context.settings, left) if left else None
    known_at = rfc3339(round(part.changed_at * 1000)) or ""
    checkpoint = checkpoint_path(request.output)
    context.observer.notice(FindStarted(checkpoint, len(done), query.by_person, left, estimate, known_at))
    session = open_read_session(context, connection, None)

    async def keep(result: LookupResult) -> None:
        await asyncio.to_thread(part.add, result)

    work = search_roles(session.reader, query, keep, done=done, at_once=context.settings.concurrency)
    try:
        await run_reading(work, session.stop)
    finally:
        await asyncio.to_thread(part.sync)


def _known_targets(part: FindCheckpoint) -> set[str]:
    return {result.target_key for result in part.results()}


def _write(request: FindRequest, part: FindCheckpoint, write: WriteRows) -> FindResult:
    """Write the rows, each once and without the excluded ones, and count them."""
    counter = _Counter(Exclusions(request.excluded))
    rows = counter.rows_of(part.results())
    if request.output is None:
        write(rows)
    else:
        if os.path.lexists(request.output):
            raise OperatorError(
                f"{request.output} has appeared meanwhile and is left as it is; move it, then run the same command."
            )
        with replace_atomically(request.output) as file:
            write_find_csv(file, rows)
        part.remove()
    return counter.result(request)


class _Counter:
    """Counts the rows while they are written."""

    def __init__(self, exclusions: Exclusions) -> None:
        self._exclusions = exclusions
        self._rows = self._excluded = self._deactivated = self._activity_unknown = 0
        self._users: set[str] = set()
        self._rooms: set[str] = set()
        self._notes = NamedItems()
        self._gaps: dict[str, NamedItems] = {}

    def rows_of(self, results: Iterable[LookupResult]) -> Iterator[RoleAssignment]:
        """Yield the rows to write."""
        seen: set[str] = set()
        for finding in results:
            if finding.gap is not None:
                self._gaps.setdefault(finding.gap.reason, NamedItems()).add(_gap_name(finding.gap))
            if finding.note:
                self._notes.add(finding.note)
            if finding.subject_id not in seen:  # read twice, by id and by name
                yield from filter(self._counts, finding.rows)
            if finding.subject_id:
                seen.add(finding.subject_id)

    def _counts(self, row: RoleAssignment) -> bool:
        """Count a row; False where it is excluded."""
        if not self._exclusions.keeps(row.user_id, row.username, row.room_id, row.room_name):
            self._excluded += 1
            return False
        self._rows += 1
        self._deactivated += row.active is False
        self._activity_unknown += row.active is None
        self._users.add(row.user_id)
        self._rooms.add(row.room_id)
        return True

    def result(self, request: FindRequest) -> FindResult:
        """Return the counts."""
        return FindResult(
            request.query,
            request.output,
            rows=self._rows,
            users=len(self._users),
            rooms=len(self._rooms),
            excluded=self._excluded,
            deactivated=self._deactivated,
            activity_unknown=self._activity_unknown,
            gaps=self._gaps,
            notes=self._notes if self._notes.count else None,
            unmatched_exclusions=[word for word, rows in self._exclusions.left_out.items() if not rows],
        )


def _gap_name(gap: LookupGap) -> str:
    return f"{gap.what} ({gap.detail})" if gap.detail else gap.what
