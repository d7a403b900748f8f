"""Workers that take shards from each other at random: no commit with an older token counts, and the counts agree."""

import asyncio
import random
from itertools import count

import pytest

from rolecall.store.base import FencedError
from rolecall.store.postgres.connection import DatabaseConfig, connect
from rolecall.store.postgres.reading import ShardLease
from rolecall.store.postgres.runs import NewRun, create_run, take_shard
from rolecall.store.postgres.store import PostgresStore, open_store
from rolecall.store.records import Batch, Intent
from tests.support.postgres import Database
from tests.unit.store.contract.jobs import import_job
from tests.unit.store.values import row, settled

WORKERS, TURNS = 4, 40
SCAN = """
    SELECT shard_id, outcome, coalesce(reason, ''), outcome IS NULL AND in_doubt, count(*) FROM pair
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
COUNTED = """
    SELECT shard_id, nullif(outcome, ''), reason, in_doubt, sum(rows)::bigint FROM group_count
    GROUP BY 1, 2, 3, 4 HAVING sum(rows) <> 0 ORDER BY 1, 2, 3, 4
"""


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


@pytest.mark.parametrize("seed", range(3))
async def test_only_the_newest_token_writes(database: Database, config: DatabaseConfig, seed: int) -> None:
    """Whatever the order: after a takeover the older worker is refused, and the counts are those of a scan."""
    async with await connect(config) as connection:
        run_id = await create_run(connection, config, NewRun("main", 1))
    async with open_store(config, run_id, shard_rows=8) as store:
        await import_job(store, [row(line, f"R{line // 4}") for line in range(16)])
    shards = [int(str(shard)) for (shard,) in database.execute("SELECT id FROM shard")]
    takeovers = Takeovers(config, run_id, shards)
    await asyncio.gather(*(takeovers.work(seed * WORKERS + number) for number in range(WORKERS)))
    assert takeovers.written > 0
    assert takeovers.refused > 0
    assert database.execute(SCAN) == database.execute(COUNTED)
    ((settled_rows,),) = database.execute("SELECT coalesce(sum(rows), 0) FROM settled")
    ((with_outcome,),) = database.execute("SELECT count(*) FROM pair WHERE outcome IS NOT NULL")
    assert settled_rows == with_outcome
