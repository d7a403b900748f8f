"""A plan and the run that keeps to it: it refuses another job, workspace, operation or account."""

import os
from collections.abc import Iterator
from datetime import datetime
from itertools import zip_longest
from pathlib import Path

from rolecall.app.errors import OperatorError
from rolecall.app.open_run import Run
from rolecall.app.reports import NOT_NEEDED
from rolecall.files.plan_file import Plan, is_plan
from rolecall.models import Outcome
from rolecall.rocketchat.operations import NOTHING_TO_DO, Operation
from rolecall.rocketchat.preflight import Account
from rolecall.store.base import Identity, PresetOutcome

PLAN = "plan"
"""The ledger's note of the plan that the run keeps to, by its digest."""
NEVER_SENT = (Outcome.INVALID, Outcome.DUPLICATE)
"""Outcomes of rows that have no place in a plan."""


def refuse_taken(path: Path) -> None:
    """Refuse to write a plan over anything but an older plan, or where none can be written. Raises OperatorError."""
    if os.path.lexists(path) and not is_plan(path):
        raise OperatorError(f"{path} is there already and is no plan; it is left as it is. Name another --save-plan.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OperatorError(
            f"{path} cannot be written: there is no folder {path.parent}, or no permission to write in it."
        )


def refuse_other_run(plan: Plan, identity: Identity) -> None:
    """Refuse a plan that was made for something else. Raises OperatorError."""
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
    """Refuse a plan that was made by another account: it may see and do other things. Raises OperatorError."""
    if plan.header.account_id != account.user_id:
        raise OperatorError(
            f"{plan.path} was made as {plan.header.account}, not {account.username}: check the job as the account "
            "that runs it. Nothing was sent."
        )


def refuse_other_plan(plan: Plan | None, run: Run) -> None:
    """Refuse to go on with a run that was begun by another plan, or by none. Raises OperatorError."""
    begun = run.ledger.notes().get(PLAN, "")
    if run.ledger.identity() is not None and begun != (plan.digest if plan else ""):
        how = "with a plan: name it with --plan" if plan is None else "without this plan"
        raise OperatorError(f"The run in {run.folder} was begun {how}, or name another --out. Nothing was sent.")


def refuse_gaps(plan: Plan, run: Run, operation: Operation) -> None:
    """Refuse a plan that does not have the job's pairs, each once and in the job's order. Raises RolecallError.

    A pair that stands in no plan is not planned, and yet it would be sent: so nothing is.
    """
    pairs = (result for result in run.ledger.results() if result.outcome not in NEVER_SENT)
    for line, (planned, pair) in enumerate(zip_longest(plan.pairs(), pairs), start=2):
        if planned is None or pair is None or planned[:2] != (pair.room_id, pair.user_id):
            raise OperatorError(
                f"{plan.path}: line {line} is not the job's pair in this place: check again. Nothing was sent."
            )
        if planned.outcome not in (operation.done, operation.nothing_to_do, Outcome.FAILED, Outcome.NOT_ATTEMPTED):
            raise OperatorError(
                f"{plan.path}: line {line}: no row of {operation.name} is {planned.outcome}: check the job again. "
                "Nothing was sent."
            )


def known(plan: Plan, operation: Operation) -> Iterator[PresetOutcome]:
    """Give the pairs that shall not be sent, with what they are told. Raises PlanFileError."""
    checked_at = plan.header.checked_at
    at = round(datetime.fromisoformat(checked_at).timestamp() * 1000)
    for pair in plan.pairs():
        if pair.outcome in (operation.done, Outcome.NOT_ATTEMPTED):
            continue
        reason = NOT_NEEDED if pair.outcome in NOTHING_TO_DO else pair.reason
        yield PresetOutcome(
            pair.room_id, pair.user_id, pair.outcome, reason, f"not sent: so checked at {checked_at}", at
        )
