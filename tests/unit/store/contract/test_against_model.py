"""Every store against a dictionary: after any calls in any order, both have the same rows."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rolecall.models import (
    UNKNOWN_PRIOR,
    BadRow,
    DueRow,
    Evidence,
    Json,
    Outcome,
    Prior,
    PriorState,
    Result,
    Row,
    RowOutcome,
)
from rolecall.store.records import Batch, Intent, IntentRollback, Pause, PauseEnd, PauseKind, PresetOutcome, PriorRecord
from tests.unit.store.contract.backends import BACKENDS
from tests.unit.store.contract.jobs import all_results, import_job
from tests.unit.store.values import RUN

T = TypeVar("T")
EXAMPLES = {"postgres-wheel": 25, "postgres-installed": 10}
"""Fewer than of the others for servers, which take longer for each call."""
Pair = tuple[str, str]
JobRow = tuple[Pair, bool, dict[str, Json], tuple[str, str]]
pairs = st.tuples(st.sampled_from(["A", "B", "b"]), st.sampled_from(["u", "v", "w"]))
extras = st.dictionaries(st.sampled_from(["x", "y"]), st.none() | st.text(max_size=3) | st.integers(-9, 9), max_size=2)
words = st.sampled_from(["", "it's", "a\nb", "12", "null", "🤝"])
names = st.sampled_from(["", "anna", "B\u00fcro"])
job_rows = st.lists(
    st.tuples(pairs, st.sampled_from([False, False, False, True]), extras, st.tuples(names, names)), max_size=7
)
numbers = st.integers(1, 10**13)
settled = st.builds(
    RowOutcome,
    key=st.just(0),
    outcome=st.sampled_from([Outcome.REMOVED, Outcome.NOT_LEADER, Outcome.FAILED, Outcome.UNKNOWN]),
    reason=words,
    http_status=st.none() | st.integers(100, 999),
    error_type=words,
    message=words,
    finished_at=numbers,
    duration_ms=st.none() | st.integers(0, 10**6),
    in_doubt=st.booleans(),
    evidence=st.sampled_from(["", *Evidence]),
    room_name=names,
    username=names,
)
priors = st.builds(
    Prior,
    state=st.sampled_from(PriorState),
    read_at=st.none() | numbers,
    username=words,
    accounts=st.lists(st.sampled_from(["bot-1", "bot-2", "bot-3"]), max_size=2, unique=True).map(tuple),
)
moments = st.integers(1, 99)
pauses = st.builds(
    Pause,
    kind=st.sampled_from(PauseKind),
    started_at=moments,
    until=st.none() | moments,
    ended_at=st.none() | moments,
    limit=st.none() | moments,
    window_seconds=st.none() | st.floats(0, 1e6),
) | st.builds(PauseEnd, kind=st.sampled_from(PauseKind), at=moments)


@dataclass
class Known:
    """What the model knows of one pair."""

    place: int | None = None
    line: int | None = None
    extra: dict[str, Json] = field(default_factory=dict)
    attempts: int = 0
    doubt: bool = False
    started_at: int | None = None
    end: RowOutcome | None = None
    former: RowOutcome | None = None
    """The outcome that the latest intent replaced."""
    attempted_at: int | None = None
    prior: Prior | None = None
    read_in: int = 0
    """The number of the session that read the prior state; 0 for none."""
    room_name: str = ""
    user_name: str = ""

    @property
    def names(self) -> tuple[str, str]:
        """Return the latest names."""
        return self.room_name, (self.prior.username if self.prior else "") or self.user_name

    @property
    def words(self) -> tuple[Outcome | None, str]:
        """Return the recorded outcome and its reason."""
        return (self.end.outcome, self.end.reason) if self.end else (None, "")

    def learn(self, room_name: str, user_name: str) -> None:
        """Replace the names by those that are known."""
        self.room_name, self.user_name = room_name or self.room_name, user_name or self.user_name

    def due_prior(self, session: int) -> Prior | None:
        """Return the prior state with which the pair is due in the latest session."""
        return self.prior if self.doubt or (session and self.read_in == session) else None

    def is_due(self, *, retry_failed: bool) -> bool:
        """Return whether the pair is in the job and may be sent."""
        again = (Outcome.UNKNOWN, Outcome.FAILED) if retry_failed else (Outcome.UNKNOWN,)
        return self.place is not None and (self.end is None or self.end.outcome in again)

    def is_untouched(self) -> bool:
        """Return whether there was neither an attempt nor an outcome."""
        return not (self.attempts or self.doubt or self.end)

    def result(self, pair: Pair, stop: str) -> Result:
        """Return the row of the report."""
        head = (self.line, *pair)
        tail, prior = (self.attempts, self.started_at), self.prior or UNKNOWN_PRIOR
        if self.end is None:
            reported = (Outcome.UNKNOWN, "killed_in_flight") if self.doubt else (Outcome.NOT_ATTEMPTED, stop)
            result = Result(*head, *reported, None, "", "", *tail, None, None, self.extra, "", prior, self.attempted_at)
            return result._replace(room_name=self.names[0], username=self.names[1])
        end = self.end
        words = (end.error_type, end.message)
        times = (end.finished_at, end.duration_ms)
        reported = (end.outcome, end.reason)
        result = Result(*head, *reported, end.http_status, *words, *tail, *times, self.extra)
        result = result._replace(evidence=end.evidence, prior=prior, attempted_at=self.attempted_at)
        return result._replace(room_name=self.names[0], username=self.names[1])


class StoreAgainstModel(RuleBasedStateMachine):
    """Makes the same changes to a store and to a dictionary."""

    implementation: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.backend = BACKENDS[self.implementation](self.folder)
        self.store = self.run(self.backend.open())
        self.known: dict[Pair, Known] = {}
        self.unsent: list[tuple[int, Result]] = []
        self.stops: list[str | None] = []
        self.pauses: list[tuple[int, Pause]] = []
        self.digests = 0

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a call of the store to its end."""
        return self.runner.run(call)

    def teardown(self) -> None:
        """Remove the store."""
        self.run(self.backend.discard())
        self.runner.close()
        shutil.rmtree(self.folder)

    @initialize(job=job_rows)
    def first_job(self, job: list[JobRow]) -> None:
        """Start with some job."""
        self.import_job(job, [])

    @rule(job=job_rows, preset=st.lists(pairs, max_size=2))
    def import_job(self, job: list[JobRow], preset: list[Pair]) -> None:
        """Import a job, or another version of it, with preset outcomes."""
        self.digests += 1
        identity = RUN._replace(job_digest=str(self.digests))
        known_before = [PresetOutcome(*pair, Outcome.ADDED, "p", "P.", 7) for pair in preset]
        self.run(import_job(self.store, list(self.edit(job)), identity, known_before))
        for pair in preset:
            if pair in self.known and self.known[pair].is_untouched():
                self.known[pair].end = RowOutcome(0, Outcome.ADDED, "p", None, "", "P.", 7, None, in_doubt=False)
        assert self.run(self.store.identity()) == identity

    @rule(job=job_rows, cut=st.integers(0, 6))
    def failing_import(self, job: list[JobRow], cut: int) -> None:
        """Import a job whose rows cannot be read to their end."""

        def broken() -> Iterator[Row | BadRow]:
            for line, (pair, is_bad, extra, _) in enumerate(job[:cut], start=1):
                yield BadRow(line, *pair, "bad", "Bad.", extra) if is_bad else Row(line, *pair, extra)
            raise ValueError("cut off")

        with pytest.raises(ValueError, match="cut off"):
            self.run(import_job(self.store, broken()))

    def edit(self, job: list[JobRow]) -> list[Row | BadRow]:
        """Put the job into the model and return its rows."""
        rows: list[Row | BadRow] = []
        self.unsent.clear()
        for known in self.known.values():
            known.place = known.line = None
        for place, (pair, is_bad, extra, names) in enumerate(job, start=1):
            line = place * 3
            known = self.known.setdefault(pair, Known()) if not is_bad else Known()
            bad, good = BadRow(line, *pair, "bad", "Bad.", extra, *names), Row(line, *pair, extra, *names)
            rows.append(bad if is_bad else good)
            if not is_bad and known.place is None:
                known.place, known.line, known.extra = place, line, extra
                known.learn(*names)
                continue
            why = (Outcome.INVALID, "bad") if is_bad else (Outcome.DUPLICATE, "duplicate_of")
            message = "Bad." if is_bad else f"the same pair stands in line {known.line}"
            result = Result(line, *pair, *why, None, "", message, 0, None, None, None, extra)
            self.unsent.append((place, result._replace(room_name=names[0], username=names[1])))
        for pair, known in list(self.known.items()):
            if known.place is None and known.is_untouched():
                del self.known[pair]
        return rows

    def keys(self) -> dict[Pair, int]:
        """Return the keys of the pairs that are due."""
        due = self.run(self.store.fetch_due(0, 1000, retry_failed=True))
        return {(row.room_id, row.user_id): row.key for _, row in due}

    @precondition(lambda self: any(known.is_due(retry_failed=True) for known in self.known.values()))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        """Commit outcomes, rollbacks, prior states and intents; a pair may have one of each in a batch."""
        keys = self.keys()
        some = st.lists(st.sampled_from(sorted(keys)), max_size=3, unique=True)
        batch = Batch([], [], [])
        ends: list[Any] = []
        for pair in data.draw(some, "settled"):
            end = data.draw(settled)._replace(key=keys[pair])
            ends.append(pair)
            self.known[pair].end, self.known[pair].doubt = end, end.in_doubt
            self.known[pair].learn(end.room_name, end.username)
            batch = batch._replace(outcomes=[*batch.outcomes, end])
        for pair in data.draw(some, "rollback"):
            if pair not in ends:
                attempts = data.draw(st.integers(0, self.known[pair].attempts))
                former = self.known[pair].former if data.draw(st.booleans()) else None
                earlier = (former.outcome, former.reason) if former else (None, "")
                entry = IntentRollback(keys[pair], attempts, data.draw(st.booleans()), None, *earlier)
                self.known[pair].attempts, self.known[pair].doubt = entry.attempts, entry.in_doubt
                self.known[pair].end = self.known[pair].end or former
                if not entry.attempts and not entry.in_doubt:
                    self.known[pair].started_at = None
                batch = batch._replace(rollbacks=[*batch.rollbacks, entry])
        for pair in data.draw(some, "read"):
            known, prior, name = self.known[pair], data.draw(priors), data.draw(names)
            batch = batch._replace(priors=[*batch.priors, PriorRecord(keys[pair], prior, name)])
            if not known.doubt:
                known.learn(name, "")
                known.prior, known.read_in = prior, len(self.stops)
        for pair in data.draw(some, "intended"):
            known = self.known[pair]
            intent = Intent(keys[pair], known.attempts + 1, data.draw(numbers), data.draw(priors))
            known.prior, known.attempted_at = intent.prior, intent.at
            known.former = known.end or known.former
            known.attempts, known.doubt, known.end = intent.attempt, True, None
            known.started_at = known.started_at or intent.at
            batch = batch._replace(intents=[*batch.intents, intent])
        self.run(self.store.commit(batch))

    @precondition(lambda self: self.stops)
    @rule(entries=st.lists(pauses, min_size=1, max_size=4))
    def commit_pauses(self, entries: list[Pause | PauseEnd]) -> None:
        """Commit the starts and the ends of pauses."""
        self.run(self.store.commit(Batch(pauses=entries)))
        session = len(self.stops)
        for entry in entries:
            if isinstance(entry, Pause):
                self.pauses.append((session, entry))
                continue
            for index, (number, known) in reversed(list(enumerate(self.pauses))):
                if number == session and known.kind is entry.kind and known.ended_at is None:
                    self.pauses[index] = (session, known._replace(ended_at=entry.at))
                    break

    @rule()
    def reopen(self) -> None:
        """Close the store and open it again."""
        self.run(self.store.close())
        self.store = self.run(self.backend.open())

    @rule()
    def crash(self) -> None:
        """Open the store as it is after a power cut."""
        self.store = self.run(self.backend.crash())

    @rule()
    def delete_removed_pairs(self) -> None:
        """Delete the pairs that left the job."""
        self.run(self.store.delete_removed_pairs())
        self.known = {pair: known for pair, known in self.known.items() if known.place is not None}

    @rule()
    def reset_outcomes(self) -> None:
        """Delete the outcomes and doubts of all pairs."""
        self.run(self.store.reset_outcomes())
        for known in self.known.values():
            known.end, known.former, known.doubt = None, None, False

    @rule(stop=st.sampled_from([None, "", "outage"]))
    def session(self, stop: str | None) -> None:
        """Start the command; it ends, or is killed."""
        self.run(self.store.open_session("bulk.bot", 1))
        if stop is not None:
            self.run(self.store.close_session(stop, 2))
        self.stops.append(stop)

    def expected(self) -> list[Result]:
        """Return every row of the report from the model."""
        last = self.stops[-1] if self.stops else ""
        stop = "killed" if last is None else last
        in_job = [(known.place, known.result(pair, stop)) for pair, known in self.known.items() if known.place]
        former = [known.result(pair, stop) for pair, known in self.known.items() if known.place is None]
        return [result for _, result in sorted([*in_job, *self.unsent], key=lambda each: each[0])] + former

    @invariant()
    def the_results_agree(self) -> None:
        """Every row is as in the model, in its order; the counts are those of a scan of all rows."""
        results = self.run(all_results(self.store))
        assert results == self.expected()
        counted: Counter[tuple[Outcome, str]] = Counter()
        for count in self.run(self.store.counts()):
            counted[count.outcome, count.reason] += count.rows
        assert counted == Counter((result.outcome, result.reason) for result in results)
        removed = [result for result in results if result.line is None and result.outcome is Outcome.UNKNOWN]
        assert self.run(self.store.count_removed_in_doubt()) == len(removed)
        ends = [known.end.finished_at for known in self.known.values() if known.end]
        assert self.run(self.store.count_settled(100)) == sum(at >= 100 for at in ends)
        proven = [(known.end.outcome, known.end.evidence) for known in self.known.values() if known.end]
        assert self.run(self.store.evidence_counts()) == Counter(proven)

    def due(self, *, retry_failed: bool) -> list[tuple[int, Pair, Known, Prior | None]]:
        """Return the due pairs of the model in job order: place, pair, what is known, prior state."""
        session = len(self.stops)
        return sorted(
            (
                (known.place or 0, pair, known, known.due_prior(session))
                for pair, known in self.known.items()
                if known.is_due(retry_failed=retry_failed)
            ),
            key=lambda each: each[0],
        )

    @invariant()
    def the_same_is_due(self) -> None:
        """Due rows are the same, in job order and in pages; their number agrees."""
        for retry_failed in (False, True):
            expected = [
                (
                    place,
                    known.line,
                    *pair,
                    known.attempts,
                    known.doubt,
                    prior,
                    known.attempted_at,
                    *known.names,
                    *known.words,
                )
                for place, pair, known, prior in self.due(retry_failed=retry_failed)
            ]
            found: list[tuple[int, DueRow]] = []
            while page := self.run(self.store.fetch_due(found[-1][0] if found else 0, 2, retry_failed=retry_failed)):
                found += page
            assert [(place, *due[1:]) for place, due in found] == expected
            rooms = len({due.room_id for _, due in found})
            assert self.run(self.store.count_due(retry_failed=retry_failed)) == (len(found), rooms)
            users = sorted({due.user_id for _, due in found})
            assert self.run(self.store.count_due_users(retry_failed=retry_failed)) == len(users)
            after = found[len(found) // 3][0] - 1 if found else 0
            for room in {due.room_id for _, due in found}:
                part = self.run(self.store.due_in_room(room, after, 1000, retry_failed=retry_failed))
                assert part == [each for each in found if each[1].room_id == room and each[0] > after]
            for user in users:
                part = self.run(self.store.due_of_user(user, after, 1000, retry_failed=retry_failed))
                assert part == [each for each in found if each[1].user_id == user and each[0] > after]

    @invariant()
    def the_pairs_agree(self) -> None:
        """Pairs by room and by user are those of the model."""
        by_room = self.run(self.store.pairs_by_room(("", ""), 1000))
        by_user = self.run(self.store.pairs_by_user(("", ""), 1000))
        assert [(pair.room_id, pair.user_id) for pair in by_room] == sorted(self.known)
        assert [(pair.user_id, pair.room_id) for pair in by_user] == sorted((user, room) for room, user in self.known)
        for pair in by_room:
            known = self.known[pair.room_id, pair.user_id]
            outcome, reason = (known.end.outcome, known.end.reason) if known.end else (None, "")
            assert pair[4:] == (outcome, reason, known.doubt, *known.names)

    @invariant()
    def the_pauses_agree(self) -> None:
        """All pauses, and the open ones, are those of the model."""
        assert [pause for _, pause in self.run(self.store.pauses(0, 1000))] == [pause for _, pause in self.pauses]
        latest = [pause for number, pause in self.pauses if number == len(self.stops)]
        is_open = [pause for pause in latest if pause.ended_at is None and (pause.until or 1000) > 50]
        assert self.run(self.store.open_pauses(50)) == is_open


@pytest.mark.parametrize("implementation", BACKENDS)
def test_a_store_agrees_with_the_model(implementation: str) -> None:
    """Each implementation agrees with the dictionary after any calls, crashes and failed imports."""
    machine = type("Machine", (StoreAgainstModel,), {"implementation": implementation})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=EXAMPLES.get(implementation, 60), stateful_step_count=20, deadline=None)
    )
