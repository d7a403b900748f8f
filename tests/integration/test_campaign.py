"""A minute of the randomised campaign; `make campaign SECONDS=300` runs a longer one."""

import secrets

import pytest

from tests.campaign.__main__ import campaign


@pytest.mark.timeout(180)
def test_a_minute_of_faults_kills_and_resumes() -> None:
    """Four invariants hold for whatever mix of faults, kills and outages this run's seed draws."""
    assert campaign(60, secrets.randbelow(10**9)) == 0
