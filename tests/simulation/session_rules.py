"""The rules that one session keeps: what it commits, what it sends at most, and how long it takes."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rolecall.engine.route_health import MAX_REFUSALS
from rolecall.engine.stop_signal import StopReason
from rolecall.engine.throttle.adaptive_concurrency import max_rows
from rolecall.engine.throttle.rate_limiter import MAX_LEAD
from rolecall.engine.throttle.route_limiter import MAX_AHEAD
from rolecall.models import PriorState
from rolecall.rocketchat.client import KEEPALIVE
from rolecall.sandbox.write_routes import CHANGES
from rolecall.store.records import Batch
from tests.simulation.fates import LATEST_ARRIVAL
from tests.simulation.interruptions import Kind
from tests.simulation.network import Sent
from tests.simulation.scenario import Scenario
from tests.simulation.violation import Violation, require
from tests.simulation.workspace import Pair
from tests.support.memory_store import MemoryStore

ME = "me"
MAX_BACKOFF = 30.0
REQUESTS_PER_ROW = 6
"""Readings of a row and its room, system messages and counters included; each attempt comes on top."""
TOLERANCE = 1.05
"""Without faults a session takes at most this multiple of the ideal."""


class SessionRecord(NamedTuple):
    """What is known of one session after its end."""

    number: int
    due: set[Pair]
    began: float
    ended: float
    stop: str | None
    """None where it reached its last row."""
    failure: str
    was_cut_off: bool
    is_calm: bool
    sent: Sequence[Sent]


@dataclass
class SessionWatch:
    """Watches one session while it works."""

    scenario: Scenario
    job: set[Pair]
    stopped_at: float = math.inf
    """When the user interrupted the session; calls that are ready to leave at this very moment still leave."""
    violation: Violation | None = None
    """The first rule that a commit has broken."""
    _in_flight: list[Sent] = field(default_factory=list)
    _settled: Counter[int] = field(default_factory=Counter)
    _attempts: dict[int, int] = field(default_factory=dict)
    """The attempts of each row before this session."""

    def at_send(self, sent: Sent, store: MemoryStore) -> None:
        """Check a changing call that leaves: its row is in the job, and its intent is durable."""
        contents = store.contents
        entry = contents.entries.get(contents.keys.get(sent.pair, 0))
        if entry is None or sent.pair not in self.job:
            raise Violation("others", f"{sent.pair} is not in the job")
        is_intended = entry.in_doubt and entry.recorded is None and entry.attempts > 0
        require("intent", is_intended, "a call of {} leaves without an intent on disk: {}", sent.pair, entry)
        age = (self.scenario.own_ms(sent.at) - (entry.attempted_at or 0)) / 1000
        is_fresh = age <= max_intent_age(self.scenario) or self.scenario.has_odd_clock
        require("age", is_fresh, "a call of {} leaves {} s after its intent: {}", sent.pair, age, entry)
        require("stop", sent.at <= self.stopped_at, "{} is called although the session was interrupted", sent.pair)
        self._in_flight = [each for each in self._in_flight if not each.has_ended]
        is_alone = all(each.pair != sent.pair for each in self._in_flight)
        require("repetition", is_alone, "{} is called twice at once", sent.pair)
        self._in_flight.append(sent)
        number, most = len(self._in_flight), self.scenario.settings.concurrency
        require("concurrency", number <= most, "{} calls are in flight", number)

    def at_commit(self, batch: Batch, store: MemoryStore) -> None:
        """Check what a session is about to make durable; the engine does not see what was found."""
        try:
            self._check_batch(batch, store)
        except Violation as violation:
            self.violation = self.violation or violation

    def _check_batch(self, batch: Batch, store: MemoryStore) -> None:
        entries = store.contents.entries
        for outcome in batch.outcomes:
            self._settled[outcome.key] += 1
            require("once", self._settled[outcome.key] == 1, "{} is settled twice: {}", entries[outcome.key], outcome)
        for intent in batch.intents:
            self._settled[intent.key] = 0
            entry = entries[intent.key]
            attempts = intent.attempt - self._attempts.setdefault(intent.key, entry.attempts)
            most = self.scenario.settings.max_attempts
            require("attempts", attempts <= most, "attempt {} of {}; {} are allowed", attempts, entry, most)
            is_lost = entry.in_doubt and entry.prior is not None and intent.prior.state is PriorState.UNKNOWN
            known = entry.prior is not None and entry.prior.state is not PriorState.UNKNOWN
            require("prior", not (is_lost and known), "{} is in doubt, and loses its prior state: {}", entry, intent)


def max_intent_age(scenario: Scenario) -> float:
    """Return the seconds after which an intent is written anew: a wait for a place or a slot, and two commits."""
    return MAX_AHEAD + MAX_LEAD + 4 * scenario.commit_time + 0.01


def patience(scenario: Scenario, rows: int) -> float:
    """Return the seconds within which a session ends: every wait that its settings allow, for every row."""
    settings, limits = scenario.settings, scenario.server.limits
    calls = rows * (settings.max_attempts + REQUESTS_PER_ROW * settings.max_attempts) + 20
    each = scenario.timeout + MAX_BACKOFF + 1.0
    windows = 0.0 if limits is None else math.ceil(calls / limits.calls) * (limits.seconds + 60.0)
    pauses = sum(each.seconds for each in scenario.interruptions if each.seconds > 0)
    outages = (3 + len(scenario.restarts) + len(scenario.revocations)) * (settings.outage_timeout + LATEST_ARRIVAL)
    return calls * each + windows + pauses + outages


def check_session(scenario: Scenario, record: SessionRecord) -> None:
    """Check what a session sent, and how long it took."""
    _check_rate(scenario, record)
    _check_window(scenario, record)
    _check_credentials(scenario, record)
    if is_undisturbed(scenario) and record.number == 0:
        taken, allowed = record.ended - record.began, TOLERANCE * ideal(scenario, record) + _overhead(scenario, record)
        require(
            "ideal", taken <= allowed, "session {} took {:.1f} s; {:.1f} s are allowed", record.number, taken, allowed
        )


def _check_rate(scenario: Scenario, record: SessionRecord) -> None:
    rate = scenario.settings.rate
    if rate is None:
        return
    was_paused = any(each.kind is Kind.PAUSE for each in scenario.interruptions)
    most = int(rate) + was_paused  # the call that was about to leave leaves after the pause
    left = [sent.at for sent in record.sent if sent.route in CHANGES]
    for first, later in zip(left, left[most:], strict=False):
        require("rate", later - first > 0.999, "{} calls and one more in {:.3f} s", most, later - first)


def _check_window(scenario: Scenario, record: SessionRecord) -> None:
    """Check that the server's own limiter refused one burst at most, where the worker alone used one window."""
    others = scenario.other_clients or scenario.restarts or scenario.server.instances > 1
    interrupted = [each.kind for each in scenario.interruptions[record.number : record.number + 1]]
    clocks = scenario.server.clock.date_skew or Kind.PAUSE in interrupted or Kind.SET_CLOCK in interrupted
    if others or clocks or scenario.server.limits is None:
        return
    calls = [sent for sent in record.sent if sent.route in CHANGES]
    refused = sum(sent.limited for sent in calls)
    uncounted = sum(bool(sent.fate.name) for sent in calls)  # the worker cannot know whether the server counted these
    is_whole = scenario.server.limits.seconds % 1 == 0
    # A page without headers, or nonsense in them, seems to show that nothing is limited.
    is_misled = bool(calls) and (not calls[0].is_genuine or bool(calls[0].fate.name))
    question = 1  # one call may find out whether the clock and the length of the window are as they seem
    earlier = min(record.number, 1)  # an earlier session may have used the window that the first call comes into
    allowed = question + earlier + uncounted + (scenario.settings.concurrency if is_misled or not is_whole else 0)
    require("window", refused <= allowed, "session {}: {} calls came beyond the server's limit", record.number, refused)


def _check_credentials(scenario: Scenario, record: SessionRecord) -> None:
    """Check that a run stops soon after its token was revoked for good, and only where the server refused it twice."""
    if record.stop == StopReason.CREDENTIALS:
        readings = sum(sent.route == ME and sent.is_unauthorized for sent in record.sent)
        refusals = sum(sent.status in (401, 403) for sent in record.sent)
        proven = readings >= 2 or refusals >= MAX_REFUSALS
        require("credentials", proven, "session {} stopped after {} refusals of the token", record.number, readings)
    revocations = scenario.revocations
    is_for_good = bool(revocations) and all(each.instance is None and each.seconds == math.inf for each in revocations)
    if not is_for_good or scenario.weather.reading_chance:
        return
    refused = sum(sent.is_unauthorized for sent in record.sent if sent.route in CHANGES)
    pauses = sum(each.kind is Kind.PAUSE for each in scenario.interruptions)
    cut_off = pauses + len(scenario.restarts)  # each may cut a check of the token off
    most = max_rows(scenario.settings.concurrency) * (1 + cut_off)
    require("credentials", refused <= most, "session {}: {} calls came with a revoked token", record.number, refused)
    has_stopped = record.stop is not None or bool(scenario.restarts)  # a restart may end the attempts of the last rows
    require("credentials", not refused or has_stopped, "session {} went on without a token", record.number)


def is_undisturbed(scenario: Scenario) -> bool:
    """Return whether nothing goes wrong in a scenario, and no other account or client acts."""
    return not (
        scenario.weather.chance
        or scenario.weather.reading_chance
        or scenario.interruptions
        or scenario.restarts
        or scenario.other_clients
        or scenario.revocations
        or scenario.weather.closing_chance
        or scenario.server.idle_timeout < KEEPALIVE
        or scenario.server.clock.date_skew
        or scenario.server.instances > 1
        or 2 * scenario.commit_time > MAX_LEAD  # intents are written no earlier than so long before their slots
    )


def ideal(scenario: Scenario, record: SessionRecord) -> float:
    """Return the seconds that the requests of a session take at least, one route after the other."""
    settings, limits = scenario.settings, None if scenario.is_exempt else scenario.server.limits
    seconds = 0.0
    for route, calls in Counter(sent.route for sent in record.sent).items():
        at_once = settings.concurrency if route in CHANGES else 1
        each = max(_round_trip(scenario) / at_once, 0.0 if settings.rate is None else 1 / settings.rate)
        seconds += calls * each
        if limits is not None:
            full = math.ceil(calls / limits.calls) - 1
            length = math.ceil(limits.seconds)  # where `Date` leaves both, it is taken for a whole number of seconds
            in_windows = full * (length + _round_trip(scenario)) + (calls - full * limits.calls) * each
            seconds += max(0.0, in_windows - calls * each)
    return seconds


def _round_trip(scenario: Scenario) -> float:
    """Return the seconds of one request on average, with some reserve."""
    return 2.5 * scenario.weather.latency + 5 * scenario.commit_time


def _overhead(scenario: Scenario, record: SessionRecord) -> float:
    """Return the seconds in which the first row of each room is sent alone, and a few more."""
    rooms = len({sent.room_id for sent in record.sent if sent.route in CHANGES})
    return 2.0 + 2 * math.ceil(rooms / scenario.settings.concurrency) * _round_trip(scenario)
