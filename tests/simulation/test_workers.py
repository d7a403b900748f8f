"""Simulations of several workers with fixed seeds, and the proof that the judge finds what it is for."""

from collections.abc import Callable, Iterable, Sequence

import pytest

import rolecall.store.batch_writer as batch_writer
from rolecall.cluster.shard_work import ShardStop
from rolecall.engine.stop_signal import StopSignal
from rolecall.store.base import FencedError, RunStoppedElsewhere
from tests.simulation.worker_process import ShardView
from tests.simulation.workers import simulate_workers

SEEDS = range(2_000_000, 2_000_200)
REPEATED = (1, 2, 3, 5)
Defect = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.timeout(300)
def test_no_rule_is_broken() -> None:
    """Workers that are killed, frozen, stopped, and cut off from the database keep every rule of the judge."""
    played = [simulate_workers(seed) for seed in SEEDS]
    assert [(each.seed, each.violation) for each in played if each.violation is not None] == []
    assert sum(each.sessions for each in played) > 2 * len(SEEDS)


@pytest.mark.parametrize("seed", REPEATED)
def test_a_seed_plays_the_same_again(seed: int) -> None:
    """Everything that happens is drawn from the seed."""
    assert simulate_workers(seed).digest == simulate_workers(seed).digest


def without_guard(patch: pytest.MonkeyPatch) -> None:
    """Let calls leave without a look at the lease."""
    patch.setattr(ShardStop, "raise_if_requested", StopSignal.raise_if_requested)


def with_deaf_workers(patch: pytest.MonkeyPatch) -> None:
    """Let a worker take an intent for written although the run was stopped elsewhere."""
    wake = batch_writer._wake

    def wake_all(waiters: Sequence[object], failure: Exception | None) -> None:
        wake(waiters, None if isinstance(failure, RunStoppedElsewhere) else failure)  # type: ignore[arg-type]

    patch.setattr(batch_writer, "_wake", wake_all)


def without_fence(patch: pytest.MonkeyPatch) -> None:
    """Let the database accept what a session writes that has lost its shard."""
    require_current = ShardView._require_current

    def require(view: ShardView) -> None:
        try:
            require_current(view)
        except FencedError:
            return

    patch.setattr(ShardView, "_require_current", require)


def first_rule(seeds: Iterable[int]) -> str:
    """Return the rule that one of the seeds breaks first; empty if none does."""
    violations = (simulate_workers(seed).violation for seed in seeds)
    return next((violation.rule for violation in violations if violation is not None), "")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("defect", "seeds"),
    [(without_guard, range(85, 130)), (with_deaf_workers, range(10, 40)), (without_fence, range(5, 40))],
)
def test_a_defect_is_found(defect: Defect, seeds: Iterable[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the guard, the stop or the fence some simulation breaks a rule."""
    defect(monkeypatch)
    assert first_rule(seeds) not in ("", "crash")
