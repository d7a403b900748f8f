"""The statements that the simulated database knows, by their texts."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import psycopg

from rolecall.cluster.database import worker_sql
from rolecall.store.postgres import sql as store_sql
from tests.simulation.cluster.connection import SimulatedConnection
from tests.simulation.cluster.database import Answer, Database, Execute, Reply, Rows
from tests.simulation.cluster.job_tables import JOB_STATEMENTS
from tests.simulation.cluster.reading_statements import READING_STATEMENTS
from tests.simulation.cluster.store_statements import (
    STORE_STATEMENTS,
    commit_batch,
    finish_complete_shard,
    finish_shard,
    take_shard,
)
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


def _begin(database: Database, connection: SimulatedConnection, _: Mapping[str, Any]) -> Rows:
    connection.undo = []
    return []


def _commit(database: Database, connection: SimulatedConnection, _: Mapping[str, Any]) -> Rows:
    connection.undo = None
    return []


def _roll_back(database: Database, connection: SimulatedConnection, _: Mapping[str, Any]) -> Rows:
    database.roll_back(connection)
    return []


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


TRANSACTIONS: Mapping[str, Answer] = MappingProxyType({"BEGIN": _begin, "COMMIT": _commit, "ROLLBACK": _roll_back})
STATEMENTS: dict[str, Execute] = {
    **_in_scopes({text: at_once(answer) for text, answer in {**STORE_STATEMENTS, **READING_STATEMENTS}.items()}),
    **_in_scopes({store_sql.COMMIT_BATCH: commit_batch}),
    store_sql.TAKE_SHARD: take_shard,
    store_sql.FINISH_SHARD: finish_shard,
    **{text: at_once(answer) for text, answer in {**WORKER_STATEMENTS, **JOB_STATEMENTS, **TRANSACTIONS}.items()},
    worker_sql.FINISH_SHARD: finish_complete_shard,
}
_NEW_RUN = "creates a run: that of a simulation is there before its workers"
_COPY = "copies a run of one machine, which an operator does"
UNSUPPORTED: Mapping[str, str] = MappingProxyType(
    {
        "CREATE_RUN": _NEW_RUN,
        "ADD_WORKSPACE": _NEW_RUN,
        "CREATE_COPIES": _COPY,
        "COPY_SESSIONS": _COPY,
        "COPY_PAUSES": _COPY,
        "COPY_PAIRS": _COPY,
        "COPY_UNSENT": _COPY,
        "COPY_NAMES": _COPY,
        "INSERT_COPIED_SESSIONS": _COPY,
        "INSERT_COPIED_PAUSES": _COPY,
        "ARRIVE_COPIED_PAIRS": _COPY,
        "INSERT_COPIED_PAIRS": _COPY,
        "END_COPIED_SHARDS": _COPY,
        "END_COPIED_RUN": _COPY,
        "WORKERS": "lists the workers for an operator",
    }
)
"""The statements of stores and workers that the simulated database does not know, each with the reason.

Those of an import are not among them: rows of a run are there before its workers (see `make_shards`).
"""
