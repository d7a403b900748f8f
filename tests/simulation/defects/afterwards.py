"""Defects of undo and verify."""

from typing import Any

from rolecall.app import undo_run
from rolecall.engine.directory import role_reader, role_verify
from rolecall.models import PriorState
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO
from tests.simulation.defects.registry import Replacement, defect


@defect
def _undo_of_inferred_rows() -> list[Replacement]:
    """Undo rows whose change is only inferred."""
    right = undo_run.rows_to_undo

    def rows(store: Any, outcome: Any, *, inferred: bool) -> Any:
        return right(store, outcome, inferred=True)

    from tests.simulation import play

    return [(play, "rows_to_undo", rows), (undo_run, "rows_to_undo", rows)]


@defect
def _undo_of_unchanged_rows() -> list[Replacement]:
    """Undo rows that needed no change."""
    from tests.simulation import play

    async def rows(store: Any, outcome: Any, *, inferred: bool) -> Any:
        async for page in store.results():
            yield [row for row in page if row.outcome in DONE | NOTHING_TO_DO and row.evidence != "inferred"]

    return [(play, "rows_to_undo", rows)]


@defect
def _verify_agrees_always() -> list[Replacement]:
    """Verify agrees with every row."""

    def compare(pair: Any, has_role: bool, operation: Any) -> Any:
        return role_verify.VerifiedRow(pair, role_verify.VerifyStatus.AGREES, operation.adds)

    return [(role_verify, "compare_row", compare)]


@defect
def _verify_reads_the_wrong_state() -> list[Replacement]:
    """Verify takes every user with any role as one with this role."""
    right = role_reader.RoleReader.states_in

    async def states_in(self: Any, room_id: str, room: Any, user_ids: Any) -> Any:
        readings = await right(self, room_id, room, user_ids)
        return {
            user_id: reading._replace(prior=reading.prior._replace(state=PriorState.HAS_ROLE))
            if user_id in room.holders
            else reading
            for user_id, reading in readings.items()
        }

    return [(role_reader.RoleReader, "states_in", states_in)]
