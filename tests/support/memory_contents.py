"""The contents of a MemoryStore: pairs, rows that are never sent, sessions, pauses and facts; without I/O."""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from rolecall.models import (
    UNKNOWN_PRIOR,
    BadRow,
    DueRow,
    FoundName,
    Json,
    NameKey,
    Outcome,
    Prior,
    Result,
    Row,
    RowDoubt,
    RowOutcome,
)
from rolecall.store.base import StoreError
from rolecall.store.records import DOUBT_MESSAGE, Batch, Identity, Intent, Pair, Pause, PauseEnd, PresetOutcome, Session

Group = tuple[Outcome | None, str, bool, str]
"""Outcome, reason, doubt of a pair without an outcome, evidence."""


class Entry(NamedTuple):
    """One pair. `place` is its position in the present job; None when the job no longer has it."""

    key: int
    room_id: str
    user_id: str
    place: int | None = None
    line: int | None = None
    extra: Mapping[str, Json] = MappingProxyType({})
    attempts: int = 0
    in_doubt: bool = False
    started_at: int | None = None
    recorded: RowOutcome | None = None
    attempted_at: int | None = None
    prior: Prior | None = None
    prior_session: int | None = None
    """The number of the session that read the prior state."""
    room_name: str = ""
    user_name: str = ""
    """As the job or a reading had it; that of the prior state is newer."""
    former: RowOutcome | None = None
    """The outcome that the latest intent replaced."""
    resumption: int = 0
    """That of the run when the outcome was recorded."""

    @property
    def outcome(self) -> Outcome | None:
        """Return the recorded outcome."""
        return None if self.recorded is None else self.recorded.outcome

    @property
    def group(self) -> Group:
        """Return what the pair is counted by."""
        if self.recorded is None:
            return None, "", self.in_doubt, ""
        return self.recorded.outcome, self.recorded.reason, False, self.recorded.evidence

    @property
    def username(self) -> str:
        """Return the latest username."""
        return (self.prior.username if self.prior else "") or self.user_name

    def to_pair(self) -> Pair:
        """Return the pair with its recorded outcome."""
        reason = self.recorded.reason if self.recorded else ""
        ids, names = (self.key, self.line, self.room_id, self.user_id), (self.room_name, self.username)
        return Pair(*ids, self.outcome, reason, self.in_doubt, *names)

    def to_due_row(self, session: int) -> DueRow:
        """Return the due row; `session` is the number of the latest session."""
        assert self.line is not None
        prior = self.prior if self.in_doubt or self.prior_session == session else None
        ids = (self.line, self.room_id, self.user_id)
        names = (self.room_name, self.username)
        recorded = (self.outcome, self.recorded.reason if self.recorded else "")
        return DueRow(self.key, *ids, self.attempts, self.in_doubt, prior, self.attempted_at, *names, *recorded)

    def to_result(self, stop: str) -> Result:
        """Return the row of the report; `stop` is the stop reason of the latest session."""
        ids, attempts = (self.line, self.room_id, self.user_id), (self.attempts, self.started_at)
        prior = self.prior or UNKNOWN_PRIOR
        if self.recorded is None:
            reported = (Outcome.UNKNOWN, "killed_in_flight") if self.in_doubt else (Outcome.NOT_ATTEMPTED, stop)
            result = Result(*ids, *reported, None, "", "", *attempts, None, None, self.extra)
            return result._replace(
                prior=prior, attempted_at=self.attempted_at, room_name=self.room_name, username=self.username
            )
        _, outcome, reason, status, error_type, message, finished_at, duration, _, evidence, *_ = self.recorded
        words, times = (status, error_type, message), (finished_at, duration)
        result = Result(*ids, outcome, reason, *words, *attempts, *times, self.extra)
        return result._replace(
            evidence=evidence,
            prior=prior,
            attempted_at=self.attempted_at,
            room_name=self.room_name,
            username=self.username,
        )


@dataclass(frozen=True)
class Contents:
    """What is on the imagined disk."""

    entries: dict[int, Entry] = field(default_factory=dict)
    keys: dict[tuple[str, str], int] = field(default_factory=dict)
    in_job: list[tuple[int, int]] = field(default_factory=list)
    """The place and the key of each pair of the present job, in job order."""
    unsent: list[tuple[int, Result]] = field(default_factory=list)
    """The place and the result of each invalid row and duplicate."""
    sessions: list[Session] = field(default_factory=list)
    pauses: list[tuple[int, Pause]] = field(default_factory=list)
    """Each pause with the number of its session, counted from 1."""
    meta: dict[str, str] = field(default_factory=dict)
    names: dict[NameKey, FoundName] = field(default_factory=dict)
    groups: Counter[Group] = field(default_factory=Counter)
    """The number of pairs in each group, up to date after each change."""
    resumption: int = 0
    """How often the run was released or resumed."""

    def with_entries(self, entries: dict[int, Entry]) -> "Contents":
        """Return the contents with other pairs, counted."""
        groups = Counter(entry.group for entry in entries.values())
        return replace(self, entries=entries, keys=keys_by_pair(entries), groups=groups)

    def job_entries(self, after: int = 0) -> Iterable[Entry]:
        """Return the pairs of the present job beyond the place `after`, in job order."""
        start = bisect_right(self.in_job, after, key=lambda each: each[0])
        return (self.entries[self.in_job[index][1]] for index in range(start, len(self.in_job)))

    @property
    def last_stop(self) -> str:
        """Return the stop reason of the latest session."""
        return self.sessions[-1].stop_reason if self.sessions else ""

    def results(self) -> Iterator[Result]:
        """Return all rows in job order; then those that left the job."""
        stop = self.last_stop
        in_job = [(place, self.entries[key].to_result(stop)) for place, key in self.in_job]
        yield from (result for _, result in sorted([*in_job, *self.unsent], key=lambda each: each[0]))
        yield from (entry.to_result(stop) for entry in self.entries.values() if entry.place is None)


def apply_batch(contents: Contents, batch: Batch) -> None:
    """Change the contents by a batch, completely or not at all. Raises StoreError."""
    changed: dict[int, Entry] = {}

    def entry(key: int) -> Entry:
        """Return the pair as the batch has left it so far; a new one for an unknown key, which is not stored."""
        return changed.get(key) or contents.entries.get(key) or Entry(key, "", "")

    for outcome in batch.outcomes:
        old = entry(outcome.key)
        changed[outcome.key] = old._replace(
            recorded=outcome,
            in_doubt=outcome.in_doubt,
            resumption=contents.resumption,
            room_name=outcome.room_name or old.room_name,
            user_name=outcome.username or old.user_name,
        )
    for key, attempts, in_doubt, doubted_at, earlier, reason in batch.rollbacks:
        old = entry(key)
        at = old.attempted_at if doubted_at is None else doubted_at
        started_at = old.started_at if attempts or in_doubt else None
        recorded = old.recorded or _earlier_outcome(old, earlier, reason)
        changed[key] = old._replace(
            attempts=attempts, in_doubt=in_doubt, attempted_at=at, started_at=started_at, recorded=recorded
        )
    for key, prior, room_name in batch.priors:
        old = entry(key)
        if not old.in_doubt:
            session, name = len(contents.sessions) or None, room_name or old.room_name
            changed[key] = old._replace(prior=prior, prior_session=session, room_name=name)
    for intent in batch.intents:
        _require_numbers(intent)
        old = entry(intent.key)
        changed[intent.key] = old._replace(
            attempts=intent.attempt,
            in_doubt=True,
            started_at=intent.at if old.started_at is None else old.started_at,
            recorded=None,
            former=old.recorded or old.former,
            attempted_at=intent.at,
            prior=intent.prior,
        )
    pauses = _with_pauses(contents, batch.pauses)
    for key, new in changed.items():
        if key in contents.entries:
            contents.groups[contents.entries[key].group] -= 1
            contents.groups[new.group] += 1
            contents.entries[key] = new
    contents.pauses[:] = pauses


def _earlier_outcome(entry: Entry, outcome: Outcome | None, reason: str) -> RowOutcome | None:
    """Return the outcome that a rollback restores; its words and times are those that the pair had before."""
    if outcome is None:
        return None
    former = entry.former or RowOutcome(entry.key, outcome, reason, None, "", "", 0, None, in_doubt=False)
    return former._replace(outcome=outcome, reason=reason)


def _with_pauses(contents: Contents, added: Sequence[Pause | PauseEnd]) -> list[tuple[int, Pause]]:
    session, pauses = len(contents.sessions), list(contents.pauses)
    for pause in added:
        if isinstance(pause, Pause):
            if not session:
                raise StoreError("A pause needs a session.")
            pauses.append((session, pause))
            continue
        for index in reversed(range(len(pauses))):
            number, known = pauses[index]
            if number == session and known.kind is pause.kind and known.ended_at is None:
                pauses[index] = (number, known._replace(ended_at=pause.at))
                break
    return pauses


class JobImport:
    """The contents of a store with another job; the store has its old contents until it is complete."""

    def __init__(self, old: Contents) -> None:
        self._old = old
        self._entries = {key: entry._replace(place=None, line=None) for key, entry in old.entries.items()}
        self._keys = dict(old.keys)
        self._next_key = max(old.entries, default=0) + 1
        self._in_job: list[tuple[int, int]] = []
        self._unsent: list[tuple[int, Result]] = []
        self._columns: dict[str, None] = {}
        self.names = {key: found for key, found in old.names.items() if found.id}
        """What was found by names."""

    def add(self, row: Row | BadRow) -> None:
        """Add the next row."""
        place = len(self._in_job) + len(self._unsent) + 1
        self._columns.update(dict.fromkeys(row.extra))
        if isinstance(row, BadRow):
            self._add_unsent(place, row, Outcome.INVALID, row.reason, row.message)
            return
        key = self._keys.setdefault((row.room_id, row.user_id), self._next_key)
        if key == self._next_key:
            self._entries[key] = Entry(key, row.room_id, row.user_id)
            self._next_key += 1
        entry = self._entries[key]
        if entry.place is not None:
            message = f"the same pair stands in line {entry.line}"
            self._add_unsent(place, row, Outcome.DUPLICATE, "duplicate_of", message)
            return
        if row.doubt is not None and not _is_touched(entry):
            entry = _with_doubt(entry, row.doubt)
        names = (row.room_name or entry.room_name, row.username or entry.user_name)
        extra = dict(row.extra)
        entry = entry._replace(place=place, line=row.line, extra=extra, room_name=names[0], user_name=names[1])
        self._entries[key] = entry
        self._in_job.append((place, key))

    def finish(self, identity: Identity, preset: Iterable[PresetOutcome], meta: Mapping[str, str]) -> Contents:
        """Return the contents with the new job."""
        entries = {key: entry for key, entry in self._entries.items() if entry.place is not None or _is_touched(entry)}
        keys = keys_by_pair(entries)
        for room, user, outcome, reason, message, at, evidence in preset:
            key = keys.get((room, user), 0)
            if not key:
                continue
            entry = entries[key]
            settles_doubt = bool(evidence) and entry.in_doubt and not entry.attempts
            if settles_doubt or not _is_touched(entry):
                known = RowOutcome(key, outcome, reason, None, "", message, at, None, False, evidence)
                entries[key] = entry._replace(recorded=known, in_doubt=False)
        require_text(meta)
        columns = json.dumps(list(self._columns))
        return replace(
            self._old.with_entries(entries),
            in_job=self._in_job,
            unsent=self._unsent,
            names=self.names,
            meta={**self._old.meta, **identity._asdict(), **meta, "extra_columns": columns},
        )

    def _add_unsent(self, place: int, row: Row | BadRow, outcome: Outcome, reason: str, message: str) -> None:
        words = (outcome, reason, None, "", message)
        result = Result(row.line, row.room_id, row.user_id, *words, 0, None, None, None, dict(row.extra))
        self._unsent.append((place, result._replace(room_name=row.room_name, username=row.username)))


def _with_doubt(entry: Entry, doubt: RowDoubt) -> Entry:
    """Return a pair that an earlier run left in doubt."""
    at = doubt.attempted_at
    unknown = RowOutcome(entry.key, Outcome.UNKNOWN, doubt.reason, None, "", DOUBT_MESSAGE, at, None, in_doubt=True)
    return entry._replace(recorded=unknown, in_doubt=True, prior=doubt.prior, attempted_at=at)


def keys_by_pair(entries: Mapping[int, Entry]) -> dict[tuple[str, str], int]:
    """Return the key of each pair."""
    return {(entry.room_id, entry.user_id): key for key, entry in entries.items()}


def _is_touched(entry: Entry) -> bool:
    return bool(entry.attempts or entry.in_doubt or entry.recorded)


def _require_numbers(intent: Intent) -> None:
    if not all(isinstance(number, int) for number in intent[:3]):
        raise StoreError("An intent has three numbers.")


def require_text(meta: Mapping[str, str]) -> None:
    """Raise StoreError for a fact that is not text."""
    if not all(isinstance(value, str) for value in meta.values()):
        raise StoreError("A fact about the run is text.")
