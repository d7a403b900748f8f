"""A minute of the randomised campaign; `make campaign SECONDS=300` runs a longer one."""

import pytest

from tests.campaign.__main__ import campaign

SEED = 20261125
"""Fixed, so that every run of the suite draws the same scenarios; `make campaign` draws a new seed."""


@pytest.mark.timeout(180)
def test_a_minute_of_faults_kills_and_resumes() -> None:
    """Four invariants hold for the mix of faults, kills and outages that the seed draws."""
    assert campaign(60, SEED) == 0


@pytest.mark.timeout(420)
def test_some_rounds_with_several_workers_on_a_database() -> None:
    """The invariants hold for workers that are killed and frozen, and for a database that crashes or is cut off."""
    assert campaign(30, SEED, workers=True) == 0
