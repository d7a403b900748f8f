"""Workers that take shards from each other at random: no commit with an older token counts, and the counts agree.

The tests run with the simulated database of the simulation of several workers as well.
"""

import asyncio
import random
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from rolecall.store.base import FencedError
from rolecall.store.postgres.connection import DatabaseConfig, connect
from rolecall.store.postgres.reading import ShardLease, StoreReader
from rolecall.store.postgres.runs import take_shard
from rolecall.store.postgres.store import PostgresStore, open_store
from rolecall.store.records import Batch, Intent
from tests.support.shared_database import KINDS, new_database
from tests.unit.store.values import settled

WORKERS, TURNS = 4, 40
PAIRS = [(f"R{number // 4}", f"u{number}") for number in range(16)]


class Takeovers:
    """What the workers have in common: the newest token that each shard has seen, as the database gave them."""

    def __init__(self, config: DatabaseConfig, run_id: int, shards: list[int]) -> None:
        self.config, self.run_id, self.shards = config, run_id, shards
        self.tokens = count(1)
        self.taken = dict.fromkeys(shards, 0)
        self.refused = self.written = 0

    async def work(self, seed: int) -> None:
        """Take a shard and write its rows until another worker has taken it."""
        chance = random.Random(seed)
        connection = await connect(self.config)
        try:
            for _ in range(TURNS):
                lease = ShardLease(chance.choice(self.shards), next(self.tokens), 1, f"worker-{seed}")
                if await take_shard(connection, self.config, lease) is None:
                    continue
                self.taken[lease.shard_id] = max(self.taken[lease.shard_id], lease.token_job)
                store = PostgresStore(connection, self.config, self.run_id, lease)
                with_rows = [due.key for _, due in await store.fetch_due(0, 9, retry_failed=True)]
                for _ in range(chance.randrange(1, 4)):
                    await self.commit(store, lease, chance.sample(with_rows, min(3, len(with_rows))), chance)
        finally:
            await connection.close()

    async def commit(self, store: PostgresStore, lease: ShardLease, keys: list[int], chance: random.Random) -> None:
        """Commit outcomes or intents; where it is accepted no newer token was in use before it began."""
        was_newest = self.taken[lease.shard_id] <= lease.token_job
        batch = Batch([settled(key) for key in keys])
        if chance.random() < 0.6:
            batch = Batch(intents=[Intent(key, chance.randrange(1, 5), 7) for key in keys])
        try:
            await store.commit(batch)
        except FencedError:
            self.refused += 1
        else:
            assert was_newest
            self.written += 1


async def require_counts_of_a_scan(store: StoreReader) -> None:
    """Compare the counts of a store, which are kept with each commit, with its rows."""
    results = [result async for page in store.results() for result in page]
    scanned = Counter((result.outcome, result.reason) for result in results)
    assert {(count.outcome, count.reason): count.rows for count in await store.counts()} == scanned
    recorded = [result for result in results if result.finished_at is not None]
    assert await store.evidence_counts() == Counter((result.outcome, result.evidence) for result in recorded)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
async def test_only_the_newest_token_writes(kind: str, tmp_path: Path, seed: int) -> None:
    """In any order: after a takeover the older worker is refused, and the counts are those of a scan."""
    shared = new_database(kind, tmp_path)
    run_id = await shared.create_run(PAIRS, shard_rows=8)
    shards = await shared.shards()
    assert len(shards) == 2
    takeovers = Takeovers(shared.config, run_id, shards)
    await asyncio.gather(*(takeovers.work(seed * WORKERS + number) for number in range(WORKERS)))
    assert takeovers.written > 0
    assert takeovers.refused > 0
    async with open_store(shared.config, run_id) as whole:
        await require_counts_of_a_scan(whole)
        results = [result async for page in whole.results() for result in page]
        assert await whole.count_settled(0) == sum(result.finished_at is not None for result in results)
    for shard in shards:
        async with open_store(shared.config, run_id, ShardLease(shard, 0, 0)) as store:
            await require_counts_of_a_scan(store)
