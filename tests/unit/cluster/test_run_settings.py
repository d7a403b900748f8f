"""The settings of a run in the database, and the threshold of failures over all workers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.cluster.runs.settings import ENGINE, exceeds, has_too_many, settings_from_json, settings_to_json
from rolecall.engine.recorders import FailureCounter
from rolecall.engine.settings import PERCENT_AFTER, FailureThreshold, Settings
from rolecall.models import Outcome


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(rate=None, concurrency=3, max_failures=FailureThreshold.parse("25"), read_roles=False),
        Settings(max_failures=FailureThreshold.parse("12.5%"), outage_timeout=1.5),
    ],
)
def test_settings_come_back_as_they_were(settings: Settings) -> None:
    """Every setting of the engine is in the JSON."""
    assert settings_from_json(settings_to_json(settings)) == settings


def test_settings_of_a_newer_version_are_left_out() -> None:
    """A worker that does not know a setting has its default."""
    values = {**settings_to_json(replace(Settings(), concurrency=5)), "some_later_setting": True}
    assert settings_from_json(values) == replace(Settings(), concurrency=5)


@given(
    st.sampled_from(["0", "3", "25", "10%", "50%", "100%"]),
    st.lists(st.sampled_from([Outcome.REMOVED, Outcome.FAILED, Outcome.UNKNOWN, Outcome.NOT_LEADER]), max_size=250),
)
def test_all_workers_together_stop_where_one_machine_would(threshold: str, outcomes: list[Outcome]) -> None:
    """The counts in the database decide as the counter of a run on one machine does after its last row."""
    limit = FailureThreshold.parse(threshold)
    counter, is_exceeded = FailureCounter(limit), False
    for outcome in outcomes:
        is_exceeded = counter.count(outcome)
    failed = sum(outcome in (Outcome.FAILED, Outcome.UNKNOWN) for outcome in outcomes)
    here = exceeds(limit, len(outcomes), failed, PERCENT_AFTER)
    if outcomes and outcomes[-1] in (Outcome.FAILED, Outcome.UNKNOWN):
        assert here is is_exceeded


def test_a_run_has_too_many_failures_above_its_threshold() -> None:
    """As many as the threshold are allowed."""
    settings = {ENGINE: settings_to_json(replace(Settings(), max_failures=FailureThreshold.parse("5")))}
    assert has_too_many(settings, 100, 6)
    assert not has_too_many(settings, 100, 5)
