"""The statements that the simulated database knows, by their texts."""

from collections.abc import Mapping
from typing import Any

import psycopg

from rolecall.cluster.database import worker_sql
from rolecall.store.postgres import sql as store_sql
from tests.simulation.cluster.connection import SimulatedConnection
from tests.simulation.cluster.database import Answer, Database, Execute, Reply
from tests.simulation.cluster.job_tables import JOB_STATEMENTS
from tests.simulation.cluster.store_statements import STORE_STATEMENTS, commit_batch, finish_shard, take_shard
from tests.simulation.cluster.worker_statements import WORKER_STATEMENTS


def execute_of(query: str) -> Execute:
    """Return what a statement does; of an unknown one, fail as the database would."""
    if query.startswith("LISTEN"):
        return lambda database, connection, _, reply: _listen(connection, query, reply)
    found = STATEMENTS.get(query)
    if found is None:
        raise AssertionError(f"the simulated database has no statement {query}")
    return found


def _listen(connection: SimulatedConnection, query: str, reply: Reply) -> None:
    connection.channels.add(query.removeprefix("LISTEN ").strip('"'))
    reply([])


def at_once(answer: Answer) -> Execute:
    """Return a statement that is carried out when it arrives."""

    def execute(database: Database, connection: SimulatedConnection, values: Any, reply: Reply) -> None:
        try:
            rows = answer(database, connection, values)
        except psycopg.Error as error:
            reply(error)
        else:
            reply(rows)

    return execute


def _in_scopes(texts: Mapping[str, Execute]) -> dict[str, Execute]:
    """Return statements of the store by their texts for a shard, and for the whole run."""
    return {
        store_sql.in_scope(text, is_shard=is_shard).decode(): execute
        for text, execute in texts.items()
        for is_shard in (True, False)
    }


STATEMENTS: dict[str, Execute] = {
    **_in_scopes({text: at_once(answer) for text, answer in STORE_STATEMENTS.items()}),
    **_in_scopes({store_sql.COMMIT_BATCH: commit_batch}),
    store_sql.TAKE_SHARD: take_shard,
    **{text: at_once(answer) for text, answer in {**WORKER_STATEMENTS, **JOB_STATEMENTS}.items()},
    worker_sql.FINISH_SHARD: finish_shard,
}
