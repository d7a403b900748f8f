"""The judge: it knows everything that happened, and checks each session and the whole run by the rules.

Its authority is the specification of the truth of rows, not what the worker says of itself.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from rolecall.engine.directory.role_verify import VerifiedRow, VerifyStatus
from rolecall.engine.settlement import MESSAGE_TOLERANCE, ROLES_PROVE_FOR
from rolecall.models import Evidence, Outcome, Prior, PriorState, Result
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO
from rolecall.sandbox import Kind
from rolecall.sandbox.write_routes import CHANGES
from tests.simulation.network import Network, Sent
from tests.simulation.scenario import Scenario
from tests.simulation.session_rules import SessionRecord, check_session
from tests.simulation.violation import Violation, require
from tests.simulation.workspace import Pair
from tests.support.memory_contents import Entry
from tests.support.memory_store import MemoryStore

A_SECOND = 1000
"""Milliseconds by which `Date` may be too early: it is cut down to the second."""
NOT_CHANGED = frozenset({*NOTHING_TO_DO, Outcome.FAILED, Outcome.NOT_ATTEMPTED})
"""The outcomes that say that this run did not change the role."""
SYNC_MESSAGES = "chat.syncMessages"
USERS_INFO = "users.info"


class Judge:
    """Judges one scenario."""

    def __init__(self, scenario: Scenario, pairs: Sequence[Pair], network: Network) -> None:
        self._scenario = scenario
        self._operation = scenario.operation
        self._world = scenario.world
        self._pairs = pairs
        self._job = set(pairs)
        self._network = network
        self._role = str(scenario.operation.role)
        self._left_open: dict[int, set[Pair]] = {}
        """The rows that each session that was cut off left without an outcome."""

    def after_session(self, record: SessionRecord, store: MemoryStore) -> None:
        """Check a session that has ended."""
        entries = store.contents.entries.values()
        if record.was_cut_off:
            self._left_open[record.number] = {
                (entry.room_id, entry.user_id) for entry in entries if entry.outcome in (None, Outcome.UNKNOWN)
            }
        else:
            calls = self._calls_by_pair()
            for entry in entries:
                self._check_doubt(entry, calls[entry.room_id, entry.user_id])
        if record.stop is None:
            for entry in entries:
                require("every row", entry.recorded is not None, "the session reached its end without {}", entry)
        check_session(self._scenario, record)

    def _check_doubt(self, entry: Entry, calls: Sequence[Sent]) -> None:
        """Check that a row is in doubt only because of a call whose answer proves nothing, or of a crash."""
        pair = (entry.room_id, entry.user_id)
        has_cause = any(not sent.is_sound and not sent.is_not_done for sent in calls)
        was_cut_off = any(pair in rows for rows in self._left_open.values())
        require("doubt", not entry.in_doubt or has_cause or was_cut_off, "{} is in doubt without a cause", entry)

    # At the end

    def final(self, results: Sequence[Result]) -> None:
        """Check the report of a run whose last session had no faults."""
        reported = [(result.line, result.room_id, result.user_id) for result in results]
        expected = [(line, *pair) for line, pair in enumerate(self._pairs, start=2)]
        require("every row", reported == expected, "the report has other rows: {}", set(reported) ^ set(expected))
        calls = self._calls_by_pair()
        for result in results:
            pair = (result.room_id, result.user_id)
            self._check_outcome(result, calls[pair])
            self._check_promise(result, calls[pair])
            self._check_evidence(result, calls[pair])
        self._check_others_untouched()
        for pair, sent in calls.items():
            self._check_repetitions(pair, sent)

    def _calls_by_pair(self) -> defaultdict[Pair, list[Sent]]:
        calls: defaultdict[Pair, list[Sent]] = defaultdict(list)
        for sent in self._network.sent:
            if sent.route in CHANGES:
                calls[sent.pair].append(sent)
        return calls

    def _check_outcome(self, result: Result, calls: Sequence[Sent]) -> None:
        """Check that a row is settled, and that the workspace is as its outcome says."""
        pair, outcome = (result.room_id, result.user_id), result.outcome
        require("every row", outcome is not Outcome.NOT_ATTEMPTED, "{} was left out", result)
        if outcome is Outcome.UNKNOWN:
            require("every row", result.reason != "", "{} has no reason", result)
            return
        expected = self._refusals(pair)
        if outcome is Outcome.FAILED:
            is_unauthorized = result.http_status == 401 and bool(calls) and calls[-1].is_unauthorized
            require("credentials", not is_unauthorized, "{} failed because the token was not accepted", result)
            is_room_or_user = result.reason in ALL_REFUSALS
            may_have_left = bool(calls) or any(pair in rows for rows in self._left_open.values())
            ok = result.reason in expected or (not is_room_or_user and may_have_left and result.reason != RATE_LIMITED)
            require("refusal", ok, "{}: the server refuses {} here", result, sorted(expected) or "nothing")
            return
        ours = {self._operation.done, self._operation.nothing_to_do}
        require("every row", outcome in ours, "{} has no outcome of this operation", result)
        if not self._was_changed_by_others(pair) and pair[0] in self._world.rooms:
            has_role = self._world.rooms[pair[0]].has_role(pair[1], self._role)
            there = "there" if has_role else "not there"
            require("state", has_role is self._operation.adds, "{}, but the role is {}", result, there)

    def _refusals(self, pair: Pair) -> frozenset[str]:
        """Return the reasons with which the server may refuse a call for this pair."""
        room, user = self._world.rooms.get(pair[0]), self._world.users.get(pair[1])
        found = set()
        if room is None or (room.type == "p" and not self._scenario.account_ids & room.members.keys()):
            found |= {"room_not_found", "room_not_joined"}
        elif room.archived:
            found.add("room_archived")
        if room is not None and not self._may_set_role(room.members):
            found.add("not_allowed")
        if user is None or user.username is None:
            found |= {"user_not_found", "user_not_in_room"}
        elif room is not None and user.id not in room.members:
            found.add("user_not_in_room")
        return frozenset(found)

    def _may_set_role(self, members: object) -> bool:
        if not isinstance(members, dict):
            return False
        is_admin = "admin" in self._world.users[self._scenario.accounts[0].user_id].roles
        return is_admin or all("owner" in (members.get(account) or ()) for account in self._scenario.account_ids)

    def _check_promise(self, result: Result, calls: Sequence[Sent]) -> None:
        """Check that a row says that this run changed the role if and only if it did, unless it is exempt."""
        pair, outcome = (result.room_id, result.user_id), result.outcome
        took = self._took(pair)
        is_true = took if outcome in DONE else not (took and outcome in NOT_CHANGED)
        if is_true or result.evidence == Evidence.INFERRED:
            return
        by_roles = result.evidence == Evidence.ROLES or outcome is Outcome.FAILED  # whose role is as before
        if by_roles and self._was_changed_by_others(pair) and not self._read_messages(pair[0]):
            return
        if self._was_changed_back_at_the_reading(result):
            return
        if self._was_changed_by_others(pair) and any(sent.died_before_the_message for sent in calls):
            return  # nothing shows that our call was carried out
        if any(map(_is_repeated, calls)) and not _is_known(result.prior) and outcome in NOTHING_TO_DO:
            return  # a proxy repeated the call, and the prior state is unknown: nothing shows it
        if outcome in NOT_CHANGED and _was_refused_when_repeated(calls):
            return
        raise Violation("promise", f"{result}: this run {'changed' if took else 'did not change'} the role")

    def _check_evidence(self, result: Result, calls: Sequence[Sent]) -> None:
        """Check that what a row says of its evidence happened."""
        pair, evidence, outcome = (result.room_id, result.user_id), result.evidence, result.outcome
        last = calls[-1] if calls else None
        if evidence == Evidence.RESPONSE and outcome is Outcome.FAILED and _is_known(result.prior):
            statuses = [sent.status or 0 for sent in calls if not sent.is_sound and not sent.is_not_done]
            was_settled = self._scenario.repeats_failed  # by an earlier session or a verification
            only_refusals = was_settled or all(400 <= status < 500 for status in statuses)
            require("evidence", bool(calls) and only_refusals, "{}: {}", result, statuses)
        elif evidence == Evidence.RESPONSE:
            status = 200 if outcome in DONE else 400
            if outcome is Outcome.FAILED and self._scenario.repeats_failed:  # a repetition may have been rejected
                last = next((sent for sent in reversed(calls) if not sent.is_not_done or sent.is_sound), None)
            require("evidence", last is not None and last.is_sound and last.status == status, "{} {}", result, last)
        elif evidence == Evidence.MESSAGE:
            is_ours = outcome in DONE
            require("evidence", self._has_message(pair, is_ours=is_ours), "{}: there is no such message", result)
        elif evidence == Evidence.ROLES:
            may_have_left = bool(calls) or any(pair in rows for rows in self._left_open.values())
            is_known = _is_known(result.prior) or outcome is Outcome.FAILED  # a role that is as before proves that
            require("evidence", may_have_left and is_known, "{}: no call was in doubt", result)
            attempted, finished = result.attempted_at or 0, result.finished_at or 0
            is_recent = finished - attempted <= ROLES_PROVE_FOR or self._scenario.has_odd_clock
            require("evidence", is_recent or outcome not in DONE, "{}: the role proves nothing so late", result)
        elif evidence == Evidence.INFERRED and _is_known(result.prior) and outcome not in NOTHING_TO_DO:
            doubts = [sent.at for sent in calls if not sent.is_sound and not sent.is_not_done]
            attempted = min(result.attempted_at or 0, self._scenario.own_ms(max(doubts, default=0.0)))
            is_old = (result.finished_at or 0) - attempted > ROLES_PROVE_FOR
            is_unsure = is_old or self._scenario.has_odd_clock or self._may_not_see_members(result.user_id)
            is_unsure = is_unsure or self._was_changed_back_at_the_reading(result)
            require("evidence", is_unsure, "{}: better evidence was there", result)
        elif evidence == Evidence.INFERRED and _is_known(result.prior):
            earlier = [] if self._scenario.repeats_failed else calls[:-1]
            doubted = [sent for sent in earlier if not sent.is_sound and not sent.is_not_done]
            require("evidence", not doubted, "{}: an earlier call may have been carried out: {}", result, doubted)
        elif evidence == "" and outcome in {*DONE, *NOTHING_TO_DO}:
            carried_out = [sent for sent in calls if sent.carried_out and not sent.is_not_done]
            if self._scenario.repeats_failed:  # a row that failed was read again
                carried_out = []
            require("evidence", outcome in NOTHING_TO_DO and not carried_out, "{} was sent: {}", result, carried_out)

    def _may_not_see_members(self, user_id: str) -> bool:
        """Return whether a reading may not have shown whether a user is still a member."""
        account = self._scenario.accounts[0].user_id
        shows_rooms = self._world.has_permission(account, "view-other-user-channels")
        was_lost = any(
            sent.route == USERS_INFO and sent.user_id == user_id and not sent.is_sound for sent in self._network.sent
        )
        return not shows_rooms or was_lost or self._scenario.weather.reading_chance > 0 or bool(self._scenario.restarts)

    def _took(self, pair: Pair) -> bool:
        accounts, adds = self._scenario.account_ids, self._operation.adds
        writes = self._world.record.writes_for(*pair, self._role)
        return any(
            write.caller_id in accounts and write.adds is adds and write.had_role is not adds for write in writes
        )

    def _was_changed_by_others(self, pair: Pair) -> bool:
        accounts = self._scenario.account_ids
        writes = self._world.record.writes_for(*pair, self._role)
        return any(write.caller_id not in accounts and write.had_role is not write.adds for write in writes)

    def _was_changed_back_at_the_reading(self, result: Result) -> bool:
        """Return whether others changed the role so near to the prior reading that messages do not show the order."""
        read_at, accounts = result.prior.read_at or 0, self._scenario.account_ids
        writes = self._world.record.writes_for(result.room_id, result.user_id, self._role)
        times = [write.time * 1000 for write in writes if write.caller_id not in accounts]
        return any(abs(time - read_at) <= MESSAGE_TOLERANCE + A_SECOND for time in times)

    def _has_message(self, pair: Pair, *, is_ours: bool) -> bool:
        kind = "subscription-role-added" if self._operation.adds else "subscription-role-removed"
        return any(
            (each.type, each.room_id, each.user_id, each.role) == (kind, *pair, self._role)
            and (each.caller_id in self._scenario.account_ids) is is_ours
            for each in self._world.record.messages
        )

    def _read_messages(self, room: str) -> bool:
        """Return whether each reading of the messages of a room succeeded, and there was one.

        Where a proxy sets `Date` by a clock that is ahead, messages seem older than the reading, and are not read.
        """
        if self._scenario.server.clock.date_skew * 1000 > MESSAGE_TOLERANCE:
            return False
        read = [sent for sent in self._network.sent if sent.route == SYNC_MESSAGES and sent.room_id == room]
        return bool(read) and all(sent.is_sound and sent.status == 200 for sent in read)

    def _check_others_untouched(self) -> None:
        for write in self._world.record.role_writes:
            if write.caller_id in self._scenario.account_ids:
                pair = (write.room_id, write.user_id)
                is_ours = pair in self._job and write.adds is self._operation.adds and write.role == self._role
                require("others", is_ours, "{} is not in the job", write)

    def _check_repetitions(self, pair: Pair, calls: Sequence[Sent]) -> None:
        """Check that no call was repeated whose answer had come."""
        was_in_doubt = False
        for first, second in pairwise(calls):
            before = (rows for session, rows in self._left_open.items() if session < first.session)
            was_in_doubt = was_in_doubt or any(pair in rows for rows in before)
            is_later, was_refused = second.session > first.session, first.status == 400
            lost = pair in self._left_open.get(first.session, ()) and is_later
            again = is_later and was_refused and (was_in_doubt or self._scenario.repeats_failed)
            excused = not first.is_sound or lost or again
            require("repetition", excused, "{} was called again: {} {}", pair, first, second)
            was_in_doubt = was_in_doubt or lost or (not first.is_sound and not first.is_not_done)

    # After verify and undo

    def at_verify(self, rows: Sequence[VerifiedRow], began: float) -> None:
        """Check rows as a verification reports them; a role may change between its reading and its report."""
        late = {(each.room_id, each.user_id) for each in self._world.record.role_writes if each.time >= began}
        for row in rows:
            room, user = row.pair.room_id, row.pair.user_id
            is_compared = row.pair.outcome in DONE | NOTHING_TO_DO and row.finding is not VerifyStatus.UNREAD
            if not is_compared or (room, user) in late:
                continue
            has_role = self._world.rooms[room].has_role(user, self._role)
            finding = VerifyStatus.AGREES if has_role is self._operation.adds else VerifyStatus.DIFFERS
            require("verify", row.finding is finding, "{}: the role is {}there", row, "" if has_role else "not ")

    async def after_verify(self, store: MemoryStore) -> None:
        """Check that what a verification settled is still true when no call can arrive any more."""
        calls = self._calls_by_pair()
        async for page in store.results():
            for result in page:
                self._check_promise(result, calls[result.room_id, result.user_id])

    def after_undo(self, before: set[Pair], results: Sequence[Result]) -> None:
        """Check that the roles are as before the run, for rows that are known well enough."""
        calls = self._calls_by_pair()
        for result in results:
            pair = (result.room_id, result.user_id)
            if result.outcome not in DONE | NOTHING_TO_DO or result.evidence == Evidence.INFERRED:
                continue
            if self._was_changed_by_others(pair) or pair[0] not in self._world.rooms:
                continue
            if result.outcome in NOTHING_TO_DO and result.evidence == Evidence.RESPONSE and not _is_known(result.prior):
                continue  # a call that a proxy repeated
            if result.outcome in NOTHING_TO_DO and _was_refused_when_repeated(calls[pair]):
                continue
            has_role = self._world.rooms[pair[0]].has_role(pair[1], self._role)
            require("undo", has_role is (pair in before), "{}: the role is {}there", result, "" if has_role else "not ")


RATE_LIMITED = "rate_limited"
ALL_REFUSALS = frozenset(
    {"room_not_found", "room_not_joined", "room_archived", "not_allowed", "user_not_found", "user_not_in_room"}
)


def _is_repeated(sent: Sent) -> bool:
    return sent.fate.fault is not None and sent.fate.fault.kind is Kind.REPEATED


def _was_refused_when_repeated(calls: Sequence[Sent]) -> bool:
    """Return whether a proxy repeated a call, whose second copy was refused.

    The refusal says that nothing was carried out, and a later session may find the role changed.
    """
    return any(_is_repeated(sent) and sent.is_not_done for sent in calls)


def _is_known(prior: Prior) -> bool:
    return prior.state in (PriorState.HAS_ROLE, PriorState.MEMBER)
