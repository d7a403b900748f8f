"""What a program may set, and the thresholds that a user may write."""

import math

import pytest

from rolecall.engine.settings import FailureThreshold, InvalidThresholdError, Settings


@pytest.mark.parametrize(
    "name", ["rate", "concurrency", "max_attempts", "retry_backoff", "outage_timeout", "shutdown_timeout"]
)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_a_number_that_no_run_can_use_is_refused(name: str, value: float) -> None:
    """A number out of range is refused at once and by its name, not by rows without an outcome."""
    with pytest.raises(ValueError, match=f"^{name} is "):
        Settings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["rate", "concurrency", "max_attempts"])
def test_none_of_it_is_refused(name: str) -> None:
    """A run without a call in a second, without a worker or without an attempt would never finish its rows."""
    with pytest.raises(ValueError, match=f"^{name} is 0"):
        Settings(**{name: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [10, "10%", None])
def test_a_threshold_of_another_type_is_refused(value: object) -> None:
    """A plain number in the threshold's place does not wait for the first failure to end the run in its middle."""
    with pytest.raises(TypeError, match=r"^max_failures is .* FailureThreshold\.parse"):
        Settings(max_failures=value)  # type: ignore[arg-type]


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
