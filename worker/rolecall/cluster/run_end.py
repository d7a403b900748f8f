"""What the worker that ends the last shard of a run finds out: the rooms that the account must join."""

from contextlib import suppress

from rolecall.app.connection import Connection
from rolecall.app.not_joined import record_hidden_rooms
from rolecall.cluster import sql
from rolecall.cluster.database import WorkerDatabase
from rolecall.engine.context import RunContext
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.store.base import StoreError
from rolecall.store.postgres.store import PostgresStore


async def record_end(
    store: PostgresStore, database: WorkerDatabase, connection: Connection, context: RunContext
) -> None:
    """Store the rooms with the run, once every shard of it is done; a failure loses only this list.

    `store`: that of the shard, whose connection to the database is used.
    """
    with suppress(StoreError):
        ((has_ended,),) = await database.fetch(sql.HAS_ENDED, run=store.run_id)
        if has_ended:
            whole = PostgresStore(store.connection, database.config, store.run_id)
            reads = ReadClient(connection.client, context)
            await record_hidden_rooms(whole, reads, connection, context.stop)
