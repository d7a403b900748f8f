"""The ledger against a dictionary: whatever is done in whatever order, both tell the same."""

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rolecall.models import BadRow, DueRow, Json, Outcome, Result, Row, RowOutcome
from rolecall.store.base import Batch, Intent, IntentRollback
from rolecall.store.sqlite.database import SqliteDatabase, import_rows
from tests.unit.store.making import RUN

Pair = tuple[str, str]
pairs = st.tuples(st.sampled_from(["A", "B", "b"]), st.sampled_from(["u", "v", "w"]))
extras = st.dictionaries(st.sampled_from(["x", "y"]), st.none() | st.text(max_size=3) | st.integers(-9, 9), max_size=2)
words = st.sampled_from(["", "it's", "a\nb", "12", "null", "🤝"])
job_rows = st.lists(st.tuples(pairs, st.sampled_from([False, False, False, True]), extras), max_size=7)
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
)


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

    def is_due(self, *, retry_failed: bool) -> bool:
        """Tell whether the pair stands in the job and may be done."""
        again = (Outcome.UNKNOWN, Outcome.FAILED) if retry_failed else (Outcome.UNKNOWN,)
        return self.place is not None and (self.end is None or self.end.outcome in again)

    def result(self, pair: Pair, stop: str) -> Result:
        """Tell the pair as the report must."""
        head = (self.line, *pair)
        tail = (self.attempts, self.started_at)
        if self.end is None:
            told = (Outcome.UNKNOWN, "killed_in_flight") if self.doubt else (Outcome.NOT_ATTEMPTED, stop)
            return Result(*head, *told, None, "", "", *tail, None, None, self.extra)
        end = self.end
        words = (end.error_type, end.message)
        times = (end.finished_at, end.duration_ms)
        return Result(*head, end.outcome, end.reason, end.http_status, *words, *tail, *times, self.extra)


class LedgerAgainstModel(RuleBasedStateMachine):
    """Does to a ledger and to a dictionary the same things."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.ledger = SqliteDatabase(self.folder / "ledger.sqlite")
        self.known: dict[Pair, Known] = {}
        self.unsent: list[tuple[int, Result]] = []
        self.stops: list[str | None] = []
        self.digests = 0

    def teardown(self) -> None:
        """Remove the file."""
        self.ledger.close()
        shutil.rmtree(self.folder)

    @initialize(job=job_rows)
    def first_job(self, job: list[tuple[Pair, bool, dict[str, Json]]]) -> None:
        """Start with some job."""
        self.import_rows(job)

    @rule(job=job_rows)
    def import_rows(self, job: list[tuple[Pair, bool, dict[str, Json]]]) -> None:
        """Take in a job, or another version of it."""
        self.digests += 1
        identity = RUN._replace(job_digest=str(self.digests))
        import_rows(self.ledger, identity, list(self.edit(job)))
        assert self.ledger.identity() == identity

    def edit(self, job: list[tuple[Pair, bool, dict[str, Json]]]) -> list[Row | BadRow]:
        """Put the job into the model, and give its rows."""
        rows: list[Row | BadRow] = []
        self.unsent.clear()
        for known in self.known.values():
            known.place = known.line = None
        for place, (pair, is_bad, extra) in enumerate(job, start=1):
            line = place * 3
            known = self.known.setdefault(pair, Known()) if not is_bad else Known()
            rows.append(BadRow(line, *pair, "bad", "Bad.", extra) if is_bad else Row(line, *pair, extra))
            if not is_bad and known.place is None:
                known.place, known.line, known.extra = place, line, extra
                continue
            why = (Outcome.INVALID, "bad") if is_bad else (Outcome.DUPLICATE, "duplicate_of")
            message = "Bad." if is_bad else f"the same pair stands in line {known.line}"
            self.unsent.append((place, Result(line, *pair, *why, None, "", message, 0, None, None, None, extra)))
        for pair, known in list(self.known.items()):
            if known.place is None and not (known.attempts or known.doubt or known.end):
                del self.known[pair]
        return rows

    def keys(self) -> dict[Pair, int]:
        """Find the keys of the pairs that are due."""
        return {(row.room_id, row.user_id): row.key for _, row in self.ledger.fetch_due(0, 1000, retry_failed=True)}

    @precondition(lambda self: any(known.is_due(retry_failed=True) for known in self.known.values()))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        """Commit one batch of outcomes, rollbacks and intents; a pair may have one end and one intent in it."""
        keys = self.keys()
        some = st.lists(st.sampled_from(sorted(keys)), max_size=3, unique=True)
        batch = Batch([], [], [])
        ends: list[Any] = []
        for pair in data.draw(some, "settled"):
            end = data.draw(settled)._replace(key=keys[pair])
            ends.append(pair)
            self.known[pair].end, self.known[pair].doubt = end, end.in_doubt
            batch = batch._replace(outcomes=[*batch.outcomes, end])
        for pair in data.draw(some, "rollback"):
            if pair not in ends:
                attempts = data.draw(st.integers(0, self.known[pair].attempts))
                entry = IntentRollback(keys[pair], attempts, data.draw(st.booleans()))
                self.known[pair].attempts, self.known[pair].doubt = entry.attempts, entry.in_doubt
                batch = batch._replace(rollbacks=[*batch.rollbacks, entry])
        for pair in data.draw(some, "intended"):
            known = self.known[pair]
            intent = Intent(keys[pair], known.attempts + 1, data.draw(numbers))
            known.attempts, known.doubt, known.end = intent.attempt, True, None
            known.started_at = known.started_at or intent.at
            batch = batch._replace(intents=[*batch.intents, intent])
        self.ledger.commit(batch)

    @rule()
    def crash(self) -> None:
        """Open the ledger anew."""
        self.ledger.close()
        self.ledger = SqliteDatabase(self.folder / "ledger.sqlite")

    @rule(stop=st.sampled_from([None, "", "outage"]))
    def session(self, stop: str | None) -> None:
        """Start the command; it may end, and may be killed."""
        self.ledger.open_session("bulk.bot", 1)
        if stop is not None:
            self.ledger.close_session(stop, 2)
        self.stops.append(stop)

    def expected(self) -> list[Result]:
        """Tell every row from the model."""
        last = self.stops[-1] if self.stops else ""
        stop = "killed" if last is None else last
        in_job = [(known.place, known.result(pair, stop)) for pair, known in self.known.items() if known.place]
        former = [known.result(pair, stop) for pair, known in self.known.items() if known.place is None]
        return [result for _, result in sorted([*in_job, *self.unsent], key=lambda each: each[0])] + former

    @invariant()
    def the_results_agree(self) -> None:
        """Every row is told as the model tells it, in its order; the counts are those of the results."""
        results = list(self.ledger.results())
        assert results == self.expected()
        counted: Counter[tuple[Outcome, str]] = Counter()
        for count in self.ledger.counts():
            counted[count.outcome, count.reason] += count.rows
        assert counted == Counter((result.outcome, result.reason) for result in results)

    @invariant()
    def the_same_is_due(self) -> None:
        """Ask both what is due: the same, in job order, by pages of any size; the count says how much."""
        for retry_failed in (False, True):
            expected = sorted(
                (known.place or 0, known.line, *pair, known.attempts, known.doubt)
                for pair, known in self.known.items()
                if known.is_due(retry_failed=retry_failed)
            )
            found: list[tuple[int, DueRow]] = []
            while page := self.ledger.fetch_due(found[-1][0] if found else 0, 2, retry_failed=retry_failed):
                found += page
            assert [(place, *pending[1:]) for place, pending in found] == expected
            rooms = len({pending.room_id for _, pending in found})
            assert self.ledger.count_due(retry_failed=retry_failed) == (len(found), rooms)


LedgerAgainstModel.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestLedgerAgainstModel = LedgerAgainstModel.TestCase
