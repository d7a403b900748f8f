"""The judge of reports: what a report may say, by the sandbox's own record of who had the role and who took it."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from rolecall.models import Evidence, Outcome, Result
from rolecall.sandbox import ACCOUNT, Call, Sandbox, World, apply_role_change
from rolecall.sandbox.write_routes import CHANGES

OURS = frozenset({ACCOUNT.user_id})
NOTHING_TAKEN = frozenset({Outcome.NOT_LEADER, Outcome.FAILED, Outcome.NOT_ATTEMPTED})
"""The outcomes that say that this run did not take the role."""

Pair = tuple[str, str]


class Judge(NamedTuple):
    """Judges single rows of a run that removes the role of leaders.

    `removed` only if this run took the role; `not_leader`, `failed` and `not_attempted` only if it did not.
    """

    world: World
    accounts: Collection[str] = OURS
    """The ids of the accounts of this run."""
    reads_messages: bool = True
    """False where the run could not read the system messages."""

    def is_true(self, pair: Pair, outcome: str, evidence: str) -> bool:
        """Return whether a row keeps the promise, or is exempt from it.

        Exempt is the evidence `inferred`; and `roles` where another account changed the role and no message could be
        read.
        """
        if evidence == Evidence.INFERRED:
            return True
        if evidence == Evidence.ROLES and not self.reads_messages and self._was_changed_by_others(pair):
            return True
        if outcome == Outcome.REMOVED:
            return self.took(pair)
        return outcome not in NOTHING_TAKEN or not self.took(pair)

    def took(self, pair: Pair) -> bool:
        """Return whether this run really took the role."""
        return any(taker in self.accounts for taker in self.world.removers(*pair))

    def taken(self) -> set[Pair]:
        """Return the pairs from which this run really took the role, those outside the job included."""
        writes = self.world.record.role_writes
        return {
            (write.room_id, write.user_id)
            for write in writes
            if write.had_role and not write.adds and write.caller_id in self.accounts
        }

    def _was_changed_by_others(self, pair: Pair) -> bool:
        writes = self.world.record.writes_for(*pair)
        return any(write.caller_id not in self.accounts and write.had_role is not write.adds for write in writes)


def is_true(world: World, result: Result) -> bool:
    """Return whether a result keeps the promise; see `Judge`."""
    return Judge(world).is_true((result.room_id, result.user_id), result.outcome, result.evidence)


def false_rows(world: World, report: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Return the rows of a report that break the promise; see `Judge`."""
    judge = Judge(world)
    return [row for row in report if not judge.is_true((row["roomId"], row["userId"]), row["outcome"], row["evidence"])]


def removed_by_us(world: World) -> set[Pair]:
    """Return the pairs from which this account really took the role."""
    return Judge(world).taken()


def change_as_other(world: World, account: str, pair: Pair, *, adds: bool = False) -> None:
    """Change the leader role as another account, if there is something to change."""
    room, user = pair
    if user in world.rooms[room].members and world.is_leader(room, user) is not adds:
        apply_role_change(world, account, room, user, adds=adds)


async def wait_for_route(sandbox: Sandbox, route: str) -> None:
    """Wait until the sandbox has received a call of this route; with latency, before its response is sent."""
    seen = 0
    while not any(call.route == route for call in sandbox.world.calls[seen:]):
        seen = len(sandbox.world.calls)
        await sandbox.wait_for_calls(seen + 1)


def changing_calls(world: World) -> list[Call]:
    """Return the calls that could change a role, in the order of arrival."""
    return [call for call in world.calls if call.route in CHANGES]


async def wait_for_changes(sandbox: Sandbox, number: int) -> None:
    """Wait until the sandbox has received this many calls that could change a role."""
    while len(changing_calls(sandbox.world)) < number:
        await sandbox.wait_for_calls(len(sandbox.world.calls) + 1)
