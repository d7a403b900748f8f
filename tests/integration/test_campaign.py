"""A minute of the randomised campaign; `make campaign SECONDS=300` runs a longer one."""

import pytest

from tests.campaign.__main__ import campaign

SEED = 20261125
"""Fixed, so that every run of the suite draws the same scenarios; `make campaign` draws a new seed."""


@pytest.mark.timeout(180)
def test_a_minute_of_faults_kills_and_resumes() -> None:
    """Four invariants hold for the mix of faults, kills and outages that the seed draws."""
    assert campaign(60, SEED) == 0
