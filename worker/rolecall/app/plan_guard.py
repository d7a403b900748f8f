"""A plan and the run that keeps to it: it refuses another job, workspace, operation or account."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import aclosing
from datetime import datetime
from itertools import islice
from pathlib import Path

from rolecall.app.open_run import Run
from rolecall.app.reports import NOT_NEEDED
from rolecall.cli.exit_codes import OperatorError
from rolecall.files.plan_file import Plan, PlannedPair, is_plan
from rolecall.models import Outcome, Result
from rolecall.rocketchat.operations import NOTHING_TO_DO, Operation
from rolecall.rocketchat.preflight import Account
from rolecall.store.base import Identity, PresetOutcome

PLAN = "plan"
"""The ledger's note of the plan that the run keeps to, by its digest."""
NEVER_SENT = (Outcome.INVALID, Outcome.DUPLICATE)
"""Outcomes of rows that have no place in a plan."""


def refuse_taken(path: Path) -> None:
    """Refuse to write a plan where anything but an older plan stands, or where none can be written. Raises Refusal."""
    if os.path.lexists(path) and not is_plan(path):
        raise OperatorError(f"{path} is there already and is no plan; it is left as it is. Name another --save-plan.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OperatorError(
            f"{path} cannot be written: there is no folder {path.parent}, or no permission to write in it."
        )


def refuse_other_run(plan: Plan, identity: Identity) -> None:
    """Refuse a plan that was made for something else. Raises Refusal."""
    header = plan.header
    for what, planned, ours in (
        ("workspace", header.workspace, identity.workspace),
        ("operation", header.operation, identity.operation),
        ("job file", header.job_digest, identity.job_digest),
    ):
        if planned != ours:
            told = "its content differs" if what == "job file" else f"{planned}, not {ours}"
            raise OperatorError(
                f"{plan.path} was made for another {what} ({told}): check the job again. Nothing was sent."
            )


def refuse_other_account(plan: Plan, account: Account) -> None:
    """Refuse a plan that was made by another account: it may see and do other things. Raises Refusal."""
    if plan.header.account_id != account.user_id:
        raise OperatorError(
            f"{plan.path} was made as {plan.header.account}, not {account.username}: check the job as the account "
            "that runs it. Nothing was sent."
        )


async def refuse_other_plan(plan: Plan | None, run: Run) -> None:
    """Refuse to go on with a run that was begun by another plan, or by none. Raises Refusal."""
    begun = (await run.store.get_meta()).get(PLAN, "")
    if await run.store.identity() is not None and begun != (plan.digest if plan else ""):
        how = "with a plan: name it with --plan" if plan is None else "without this plan"
        raise OperatorError(f"The run in {run.folder} was begun {how}, or name another --out. Nothing was sent.")


async def refuse_gaps(plan: Plan, run: Run, operation: Operation) -> None:
    """Refuse a plan that does not have the job's pairs, each once and in the job's order. Raises Refusal, UnusablePlan.

    A pair that stands in no plan is not planned, and yet it would be sent: so nothing is.
    """
    planned_pairs = enumerate(plan.pairs(), start=2)
    line = 1
    async with aclosing(run.store.results()) as pages:
        async for page in pages:
            pairs = [result for result in page if result.outcome not in NEVER_SENT]
            planned = await asyncio.to_thread(list, islice(planned_pairs, len(pairs)))
            for (line, plan_pair), pair in zip(planned, pairs, strict=False):
                _require_planned(plan, line, plan_pair, pair, operation)
            if len(planned) < len(pairs):
                raise _gap(plan, line + 1)
    if (surplus := await asyncio.to_thread(next, planned_pairs, None)) is not None:
        raise _gap(plan, surplus[0])


def _require_planned(plan: Plan, line: int, planned: PlannedPair, pair: Result, operation: Operation) -> None:
    if planned[:2] != (pair.room_id, pair.user_id):
        raise _gap(plan, line)
    if planned.outcome not in (operation.done, operation.nothing_to_do, Outcome.FAILED, Outcome.NOT_ATTEMPTED):
        raise OperatorError(
            f"{plan.path}: line {line}: no row of {operation.name} is {planned.outcome}: check the job again. "
            "Nothing was sent."
        )


def _gap(plan: Plan, line: int) -> OperatorError:
    return OperatorError(
        f"{plan.path}: line {line} is not the job's pair in this place: check again. Nothing was sent."
    )


def known(plan: Plan, operation: Operation) -> Iterator[PresetOutcome]:
    """Give the pairs that shall not be sent, with what they are told. Raises UnusablePlan."""
    checked_at = plan.header.checked_at
    at = round(datetime.fromisoformat(checked_at).timestamp() * 1000)
    for pair in plan.pairs():
        if pair.outcome in (operation.done, Outcome.NOT_ATTEMPTED):
            continue
        reason = NOT_NEEDED if pair.outcome in NOTHING_TO_DO else pair.reason
        yield PresetOutcome(
            pair.room_id, pair.user_id, pair.outcome, reason, f"not sent: so checked at {checked_at}", at
        )
