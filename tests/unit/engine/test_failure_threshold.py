"""When enough has failed."""

import pytest

from rolecall.engine.failure_threshold import (
    FORBIDDEN_IN_A_ROW,
    FailureCounter,
    FailureThreshold,
    InvalidThresholdError,
)
from rolecall.models import Outcome


@pytest.mark.parametrize(
    ("text", "threshold", "shown"),
    [
        ("25", FailureThreshold(25.0, False), "25"),
        (" 25 ", FailureThreshold(25.0, False), "25"),
        ("0", FailureThreshold(0.0, False), "0"),
        ("10%", FailureThreshold(10.0, True), "10%"),
        (" 2.5 % ", FailureThreshold(2.5, True), "2.5%"),
        ("0%", FailureThreshold(0.0, True), "0%"),
        ("100%", FailureThreshold(100.0, True), "100%"),
    ],
)
def test_thresholds_are_read_and_shown(text: str, threshold: FailureThreshold, shown: str) -> None:
    """A number of rows or a share of them, and back to text."""
    assert FailureThreshold.parse(text) == threshold
    assert str(threshold) == shown


@pytest.mark.parametrize("text", ["", "%", "-1", "2.5", "100.1%", "101%", "ten", "10%%", "1e2", "nan", "inf%", "1 0"])
def test_other_texts_are_refused(text: str) -> None:
    """What is no threshold is refused in one line that shows the forms that would do."""
    with pytest.raises(InvalidThresholdError) as refused:
        FailureThreshold.parse(text)
    assert repr(text) in str(refused.value)
    assert "10%" in str(refused.value)
    assert "\n" not in str(refused.value)


R, N, F, U = Outcome.REMOVED, Outcome.NOT_LEADER, Outcome.FAILED, Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("text", "outcomes", "stops_at"),
    [
        ("0", [R, N, F], 3),
        ("0", [U], 1),
        ("2", [F, U, R, F], 4),
        ("2", [F, U] + [R] * 500, None),
        ("10%", [F] * 100, 100),
        ("10%", [F] * 99 + [R, F], 101),
        ("10%", [F] * 99, None),
        ("10%", [F] * 10 + [R] * 90 + [F], 101),
        ("10%", [R] * 99 + [F] * 11, None),
        ("10%", [R] * 99 + [F] * 12, 111),
        ("0%", [F] + [R] * 99 + [F], 101),
        ("100%", [F] * 1000, None),
    ],
)
def test_thresholds_stop_the_run(text: str, outcomes: list[Outcome], stops_at: int | None) -> None:
    """More failures than the number stop at once; a share stops from the hundredth row on, at a row that failed."""
    failures = FailureCounter(FailureThreshold.parse(text))
    reached = [place for place, outcome in enumerate(outcomes, start=1) if failures.count(outcome)]
    assert (reached[0] if reached else None) == stops_at


@pytest.mark.parametrize(
    ("answers", "stops"),
    [
        ([True] * FORBIDDEN_IN_A_ROW, True),
        ([True] * (FORBIDDEN_IN_A_ROW - 1), False),
        (([True] * (FORBIDDEN_IN_A_ROW - 1) + [False]) * 3, False),
        ([False] * 50 + [True] * FORBIDDEN_IN_A_ROW, True),
    ],
)
def test_only_refusals_in_a_row_are_a_matter_of_the_credentials(answers: list[bool], stops: bool) -> None:
    """Ten refusals of the method in a row stop the run; one other answer starts the count anew."""
    failures = FailureCounter(FailureThreshold(50, True))
    reached = [failures.count_forbidden(forbidden) for forbidden in answers]
    assert reached[-1] is stops
    assert not any(reached[:-1])
