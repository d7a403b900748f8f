"""An undo after any run restores exactly the roles before it: whatever faults, kill and people there were."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall import OperatorError, undo
from rolecall.models import Evidence, Outcome, Result
from rolecall.sandbox import Fault, FaultMatch, FaultPlan, Kind, Sandbox, World, leader_world
from rolecall.sandbox.faults import MAY_ACT
from tests.support.engine import QUICK, run_pairs
from tests.support.library import FAST, at
from tests.support.truth import Pair, is_true

QUICK_KINDS = sorted(
    set(Kind) - {Kind.HANG_BEFORE, Kind.HANG_AFTER, Kind.ENDLESS, Kind.HUGE, Kind.BOMB, Kind.REVOKE, Kind.SLOW}
)
ROUTES = (None, None, None, "groups.roles", "groups.members", "users.info", "chat.syncMessages", "roles.list")
ROLES: tuple[tuple[str, ...] | None, ...] = (("leader",), ("leader", "moderator"), (), None)
SETTLED = (Outcome.REMOVED, Outcome.NOT_LEADER, Outcome.FAILED)


@dataclass(frozen=True)
class Story:
    """What happens to one run."""

    roles: list[tuple[str, ...] | None]
    """Of each row's user, before the run."""
    rooms: int
    strangers: set[int]
    """The numbers of the rows whose users are not members."""
    faults: list[Fault]
    seed: int
    commits: list[int]
    """After how many commits each session but the last is killed."""
    concurrency: int
    message_evidence: bool


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    """Draw a fault of the changing calls or of a reading route."""
    kind = draw(st.sampled_from(QUICK_KINDS))
    return Fault(
        kind,
        FaultMatch(chance=draw(st.sampled_from((0.2, 0.5, 1.0))), route=draw(st.sampled_from(ROUTES))),
        times=draw(st.sampled_from((1, 2, None))),
        act=kind in MAY_ACT and draw(st.booleans()),
        status=draw(st.sampled_from((400, 401, 403, 404, 500, 502))),
        html=True,
        writes=draw(st.integers(0, 4)),
        seconds=0.01,
        retry_after="0",
    )


stories = st.builds(
    Story,
    roles=st.lists(st.sampled_from(ROLES), min_size=1, max_size=14),
    rooms=st.integers(1, 4),
    strangers=st.sets(st.integers(0, 13), max_size=2),
    faults=st.lists(faults(), max_size=4),
    seed=st.integers(0, 1000),
    commits=st.lists(st.integers(1, 12), max_size=2),
    concurrency=st.sampled_from((1, 4, 8)),
    message_evidence=st.booleans(),
)


def make_world(story: Story) -> tuple[World, list[Pair]]:
    """Return the workspace of a story and the pairs of its job."""
    pairs = [(f"room{number % story.rooms}", f"user{number}") for number in range(len(story.roles))]
    world = leader_world(pairs)
    for number, (pair, roles) in enumerate(zip(pairs, story.roles, strict=True)):
        world.join(*pair, roles)
        if number in story.strangers:
            del world.rooms[pair[0]].members[pair[1]]
    return world, pairs


async def play(story: Story, folder: Path) -> None:
    """Run, killed and resumed, then undo without faults; check the outcomes, then the roles."""
    world, pairs = make_world(story)
    before = world.pairs_with_role("leader")
    chosen = replace(QUICK, concurrency=story.concurrency, message_evidence=story.message_evidence, outage_timeout=0.1)
    async with Sandbox(world, faults=FaultPlan(story.faults, story.seed)) as sandbox:
        path = folder / "ledger.sqlite"
        for commits in story.commits:
            await run_pairs(sandbox.url, pairs, path, chosen, commits=commits)
        results = (await run_pairs(sandbox.url, pairs, path, chosen)).results
        assert [result for result in results if not is_true(world, result)] == []
        sandbox.faults.clear()
        try:
            async for undone in undo(folder, **at(sandbox), settings=FAST):
                assert undone.outcome in (Outcome.ADDED, Outcome.ALREADY_LEADER), undone
        except OperatorError:  # nothing to undo
            assert not any(is_restored(result) for result in results)
    check_roles(world, before, results)


def is_restored(result: Result) -> bool:
    """Return whether an undo restores the role of a row."""
    return result.outcome is Outcome.REMOVED and result.evidence != Evidence.INFERRED


def check_roles(world: World, before: set[Pair], results: Sequence[Result]) -> None:
    """Check that each row that the promise covers has exactly the role that it had before."""
    after = world.pairs_with_role("leader")
    for result in results:
        if result.outcome in SETTLED and result.evidence != Evidence.INFERRED:
            pair = (result.room_id, result.user_id)
            assert (pair in after) is (pair in before), result


@given(stories)
@settings(max_examples=40, deadline=None)
def test_an_undo_restores_exactly_the_roles_before_the_run(story: Story) -> None:
    """Every row is reported truly, and after the undo every row that the promise covers has the role it had before."""
    with TemporaryDirectory(prefix="rolecall-undo-") as folder:
        asyncio.run(play(story, Path(folder)))
