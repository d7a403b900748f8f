"""What was found and what was not, counted while the rows go by, and said in words."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from rolecall.engine.directory.find_gaps import GAP_HINTS
from rolecall.engine.directory.find_query import Exclusions, FindQuery
from rolecall.models import LookupGap, LookupResult, RoleAssignment
from rolecall.rocketchat.operations import OPERATIONS, REMOVE_LEADER
from rolecall.text import plural

MOST_NAMED = 10
"""Names that a line shows; the others are counted."""


class _Named:
    """Some names, the first of them known, all of them counted."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []

    def add(self, name: str) -> None:
        self.count += 1
        if len(self._first) < MOST_NAMED:
            self._first.append(name)

    def __str__(self) -> str:
        more = self.count - len(self._first)
        return ", ".join(self._first) + (f" and {more:,} more" if more else "")


class FindSummary:
    """Lets the rows of all findings through, each once, without those that are left out."""

    def __init__(self, question: FindQuery, exceptions: Exclusions) -> None:
        self._question = question
        self._exceptions = exceptions
        self._rows = self._left_out = self._deactivated = self._not_told = 0
        self._users: set[str] = set()
        self._rooms: set[str] = set()
        self._noted = _Named()
        self.unseen: dict[str, _Named] = {}
        """By reason, what could not be seen."""

    def rows_of(self, findings: Iterable[LookupResult]) -> Iterator[RoleAssignment]:
        """Give the rows to write."""
        told: set[str] = set()
        for finding in findings:
            if finding.gap is not None:
                self.unseen.setdefault(finding.gap.reason, _Named()).add(_in_words(finding.gap))
            if finding.note:
                self._noted.add(finding.note)
            if finding.subject_id not in told:  # asked for twice, by id and by name
                yield from filter(self._counts, finding.rows)
            if finding.subject_id:
                told.add(finding.subject_id)

    def _counts(self, row: RoleAssignment) -> bool:
        """Count a row; False where it is left out."""
        if not self._exceptions.keeps(row.user_id, row.username, row.room_id, row.room_name):
            self._left_out += 1
            return False
        self._rows += 1
        self._deactivated += row.active is False
        self._not_told += row.active is None
        self._users.add(row.user_id)
        self._rooms.add(row.room_id)
        return True

    def sentences(self, out: Path | None) -> Iterator[str]:
        """Say what was found, and where it is."""
        role, kind = self._question.role.value, self._question.kind.removesuffix("s")
        if self._rows:
            who = f"{plural(len(self._users), 'user')} with the role {role} in {plural(len(self._rooms), kind)}"
            gone = f" {plural(self._deactivated, 'row')} of deactivated users." if self._deactivated else ""
            yield f"{plural(self._rows, 'row')}: {who}.{gone}"
        else:
            yield f"No rows: nobody who was seen has the role {role} in a {kind} asked for."
        if self._left_out:
            yield f"Left out by --exclude: {plural(self._left_out, 'row')}."
        if self._noted.count:
            yield f"Noted: {self._noted}."
        if self._not_told:
            yield f"For {plural(self._not_told, 'row')} the workspace did not tell whether the user is active."
        if out is not None:
            yield f"Job file: {out}"
            if self._rows:
                yield f"Next: rolecall check {out}{self._operation()}"

    def warnings(self) -> Iterator[str]:
        """Say what could not be seen and what would show it, and which exception matched nothing."""
        for reason, names in self.unseen.items():
            yield f"Not seen, {reason}: {names}"
            yield f"    {GAP_HINTS[reason]}"
        for word, rows in self._exceptions.left_out.items():
            if not rows:
                yield f"warning: --exclude {word} left nothing out; is it spelt as in the workspace?"

    def _operation(self) -> str:
        name = f"{self._question.kind}.remove{self._question.role.title()}"
        return "" if OPERATIONS[name] is REMOVE_LEADER else f" --operation {name}"


def _in_words(unseen: LookupGap) -> str:
    return f"{unseen.what} ({unseen.detail})" if unseen.detail else unseen.what
