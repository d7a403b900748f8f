"""The table of operations: each twin is spelt as the server spells it, and leads back."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rolecall.models import Outcome
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO, OPERATIONS, REMOVE_LEADER, Operation

DEFINITIONS = Path(__file__).parents[4] / "shared/openapi/rocketchat-openapi.yaml"
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)


@pytest.fixture(scope="module")
def official() -> Any:
    """Give the official definitions, where they are at hand."""
    if not DEFINITIONS.is_file():
        pytest.skip("the official definitions are not at hand")
    return yaml.safe_load(DEFINITIONS.read_text("utf-8"))


def test_there_are_twelve() -> None:
    """Two kinds of rooms, three roles, two directions; and the names are the keys."""
    assert len(OPERATIONS) == 12
    assert all(name == operation.name for name, operation in OPERATIONS.items())


def test_the_default_is_what_it_was() -> None:
    """The operation that users know keeps its path, error and outcomes."""
    assert REMOVE_LEADER.path == "/api/v1/groups.removeLeader"
    assert REMOVE_LEADER.noop_error_type == "error-user-not-leader"
    assert (REMOVE_LEADER.done, REMOVE_LEADER.nothing_to_do) == (Outcome.REMOVED, Outcome.NOT_LEADER)


@every_operation
def test_the_inverse_leads_back(operation: Operation) -> None:
    """The inverse of the inverse is the operation itself; role and kind of room stay."""
    inverse = operation.inverse
    assert inverse.inverse is operation
    assert (inverse.kind, inverse.role, inverse.adds) == (operation.kind, operation.role, not operation.adds)


@every_operation
def test_the_outcomes_differ(operation: Operation) -> None:
    """No word means both that something was done and that there was nothing to do."""
    assert operation.done in DONE
    assert operation.nothing_to_do in NOTHING_TO_DO
    assert not DONE & NOTHING_TO_DO


@every_operation
def test_the_official_definitions_have_the_method(operation: Operation, official: Any) -> None:
    """The server documents each method as a POST that takes roomId and userId."""
    body = official["paths"][operation.path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"roomId", "userId"} <= set(str(body).replace("'", " ").split())


@every_operation
def test_the_official_examples_have_the_error(operation: Operation, official: Any) -> None:
    """Where the definitions show what 'nothing to do' looks like, it is the error type in the table."""
    told = str(official["paths"][operation.path]["post"]["responses"])
    role = str(operation.role)
    shown = {word.strip("'[],}") for word in told.split() if word.strip("'[],}").startswith("error-user-")}
    assert {word for word in shown if word.endswith(role) and ("already" in word or "not" in word)} <= {
        operation.noop_error_type
    }
