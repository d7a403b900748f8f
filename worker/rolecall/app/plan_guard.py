"""Every rule of "this plan fits this run": same workspace, operation, job, account and pairs."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import aclosing
from datetime import datetime
from itertools import islice
from pathlib import Path

from rolecall.app.errors import OperatorError
from rolecall.app.run_directory import Run
from rolecall.files.plan_file import NEVER_SENT, Plan, PlannedPair, is_plan
from rolecall.models import Advice, Evidence, Outcome, Result
from rolecall.rocketchat.operations import NOTHING_TO_DO, Operation
from rolecall.rocketchat.preflight import Account
from rolecall.store.records import Identity, PresetOutcome

PLAN = "plan"
"""Key of the store's metadata: the digest of the plan that the run follows."""


def require_writable_plan(path: Path) -> None:
    """Raise OperatorError if a plan cannot be written, or would replace anything but an older plan."""
    if os.path.lexists(path) and not is_plan(path):
        raise OperatorError(f"{path} exists and is not a plan; it is left as it is.", Advice.OTHER_PLAN)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OperatorError(
            f"{path} cannot be written: there is no folder {path.parent}, or no permission to write in it."
        )


def require_fitting_plan(plan: Plan, identity: Identity) -> None:
    """Raise OperatorError if the plan was made for another workspace, operation or job."""
    header = plan.header
    for what, planned, ours in (
        ("workspace", header.workspace, identity.workspace),
        ("operation", header.operation, identity.operation),
        ("job file", header.job_digest, identity.job_digest),
    ):
        if planned != ours:
            detail = "its content differs" if what == "job file" else f"{planned}, not {ours}"
            raise OperatorError(
                f"{plan.path} was made for another {what} ({detail}): check the job again. Nothing was sent."
            )


def require_same_account(plan: Plan, account: Account) -> None:
    """Raise OperatorError if the plan was made by another account, which may see and do other things."""
    if plan.header.account_id != account.user_id:
        raise OperatorError(
            f"{plan.path} was made as {plan.header.account}, not {account.username}: check the job as the account "
            "that runs it. Nothing was sent."
        )


async def require_same_plan(plan: Plan | None, run: Run) -> None:
    """Raise OperatorError if the run was started with another plan, or with none."""
    started_with = (await run.store.get_meta()).get(PLAN, "")
    if await run.store.identity() is None or started_with == (plan.digest if plan else ""):
        return
    if plan is None:
        text = f"The run in {run.folder} was started with a plan. Nothing was sent."
        raise OperatorError(text, Advice.NAME_PLAN)
    text = f"The run in {run.folder} was started without this plan. Nothing was sent."
    raise OperatorError(text, Advice.OTHER_DIRECTORY)


async def require_planned_pairs(plan: Plan, run: Run, operation: Operation) -> None:
    """Raise OperatorError unless the plan has the job's pairs, each once and in the job's order.

    A pair that is in no plan would be sent without a check. Raises PlanFileError too.
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
    if planned.outcome not in (operation.predicted, operation.nothing_to_do, Outcome.FAILED, Outcome.NOT_ATTEMPTED):
        raise OperatorError(
            f"{plan.path}: line {line}: no row of {operation.name} is {planned.outcome}: check the job again. "
            "Nothing was sent."
        )


def _gap(plan: Plan, line: int) -> OperatorError:
    return OperatorError(
        f"{plan.path}: line {line} is not the job's pair in this place: check again. Nothing was sent."
    )


def preset_outcomes(plan: Plan, operation: Operation) -> Iterator[PresetOutcome]:
    """Yield the outcomes of the pairs that are not sent. Raises PlanFileError."""
    from rolecall.engine.settlement import ADDED_BY_OTHER, NOT_NEEDED, REMOVED_BY_OTHER  # here: few runs have a plan

    checked_at = plan.header.checked_at
    at = round(datetime.fromisoformat(checked_at).timestamp() * 1000)
    for pair in plan.pairs():
        if pair.outcome in (operation.predicted, Outcome.NOT_ATTEMPTED):
            continue
        is_by_other = pair.reason in (REMOVED_BY_OTHER, ADDED_BY_OTHER)
        reason = NOT_NEEDED if pair.outcome in NOTHING_TO_DO and not is_by_other else pair.reason
        evidence = Evidence.MESSAGE if is_by_other else ""  # who got the role again since was not planned
        message = f"not sent: so checked at {checked_at}"
        yield PresetOutcome(pair.room_id, pair.user_id, pair.outcome, reason, message, at, evidence)
