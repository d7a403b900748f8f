"""What a session may take and send at most, by its settings and the server's limits."""

import math

from tests.simulation.fates import LATEST_ARRIVAL
from tests.simulation.scenario import Scenario

MAX_BACKOFF = 30.0
REQUESTS_PER_ROW = 6
"""Readings of a row and its room, system messages and counters included; each attempt comes on top."""


def patience(scenario: Scenario, rows: int) -> float:
    """Return the seconds within which a session ends: every wait that its settings allow, for every row."""
    settings, limits = scenario.settings, scenario.server.limits
    calls = rows * (settings.max_attempts + REQUESTS_PER_ROW * settings.max_attempts) + 20
    each = scenario.timeout + MAX_BACKOFF + 1.0
    windows = 0.0 if limits is None else math.ceil(calls / limits.calls) * (limits.seconds + 60.0)
    pauses = sum(each.seconds for each in scenario.interruptions if each.seconds > 0)
    outages = (3 + len(scenario.restarts)) * (settings.outage_timeout + LATEST_ARRIVAL)
    return calls * each + windows + pauses + outages


def ideal(scenario: Scenario, calls: int, requests: int) -> float:
    """Return the seconds in which so many changing calls can be made, of so many requests in all, without faults."""
    settings, limits = scenario.settings, scenario.server.limits
    by_rate = 0.0 if settings.rate is None else (calls - 1) / settings.rate
    by_window = 0.0 if limits is None else (math.ceil(calls / limits.calls) - 1) * limits.seconds
    return max(by_rate, by_window)
