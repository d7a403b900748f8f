"""The table of outcomes: complete, consistent, and the only list of outcomes in the package."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.style import Style

import rolecall
from rolecall.models import OUTCOMES, Outcome, is_due
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO, PREDICTED

PACKAGE = Path(rolecall.__file__).parent


def test_every_outcome_has_its_properties() -> None:
    """The table has one entry for each outcome."""
    assert set(OUTCOMES) == set(Outcome)


@pytest.mark.parametrize("outcome", Outcome)
def test_each_style_is_one_that_terminals_know(outcome: Outcome) -> None:
    """Rich can parse the style of each outcome."""
    assert Style.parse(OUTCOMES[outcome].style)


@pytest.mark.parametrize("outcome", Outcome)
def test_properties_do_not_contradict_each_other(outcome: Outcome) -> None:
    """A success is neither a failure nor worth another run, and each of those needs attention."""
    properties = OUTCOMES[outcome]
    is_problem = properties.is_failure or properties.is_retryable
    assert not (properties.is_success and properties.needs_attention)
    assert properties.needs_attention or not is_problem


def test_successes_are_the_outcomes_of_the_operations() -> None:
    """A row is a success if its operation was carried out or would be, or if there was nothing to do."""
    assert {outcome for outcome in Outcome if OUTCOMES[outcome].is_success} == DONE | NOTHING_TO_DO | PREDICTED


@pytest.mark.parametrize(
    ("is_property", "outcomes"),
    [
        ("is_failure", {Outcome.FAILED, Outcome.UNKNOWN, Outcome.INVALID}),
        ("is_retryable", {Outcome.FAILED, Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED}),
        ("needs_attention", {Outcome.FAILED, Outcome.UNKNOWN, Outcome.INVALID, Outcome.NOT_ATTEMPTED}),
    ],
)
def test_which_outcomes_have_a_property(is_property: str, outcomes: set[Outcome]) -> None:
    """Exit code 1, `retry.csv` and the report's list of problems depend on exactly these outcomes."""
    assert {outcome for outcome in Outcome if getattr(OUTCOMES[outcome], is_property)} == outcomes


@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_which_rows_are_due(outcome: Outcome | None) -> None:
    """Rows without an outcome, unknown and not attempted ones are due; failed ones only where that is requested."""
    always = outcome in (None, Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED)
    assert is_due(outcome, retry_failed=False) is always
    assert is_due(outcome, retry_failed=True) is (always or outcome is Outcome.FAILED)


def lists_of_outcomes(path: Path) -> Iterator[int]:
    """Return the line of each collection literal in a module that names three outcomes or more."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Dict):
            elements: list[ast.expr | None] = node.keys
        elif isinstance(node, ast.List | ast.Set | ast.Tuple):
            elements = [*node.elts]
        else:
            continue
        named = [
            each
            for each in elements
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "Outcome"
        ]
        if len(named) > 2:
            yield node.lineno


def test_a_new_outcome_is_one_line_in_the_table() -> None:
    """No module but `models.outcomes` lists outcomes, so a new one needs its word and its line in the table only."""
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if any(lists_of_outcomes(path))}
    assert found == {"models/outcomes.py"}
