"""The size of the shards of a run where no operator has set it."""

import pytest

from rolecall.cluster.runs.shard_size import shard_size


@pytest.mark.parametrize(
    ("rows", "workers", "size"),
    [
        (0, 0, 200),
        (1_000_000, 0, 200),
        (0, 1, 20),
        (159, 1, 20),
        (168, 1, 21),
        (800, 1, 100),
        (800, 2, 50),
        (800, 4, 25),
        (800, 50, 20),
        (1_600, 1, 200),
        (1_600, 2, 100),
        (1_000_000, 50, 200),
    ],
)
def test_each_live_worker_has_eight_shards(rows: int, workers: int, size: int) -> None:
    """A shard has the rows divided by eight for each worker, from 20 to 200; without a worker it has 200."""
    assert shard_size(rows, workers) == size
