"""What a program may set."""

import math

import pytest

from rolecall.engine.settings import Settings


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
