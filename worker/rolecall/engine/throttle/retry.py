"""Retries with backoff, for calls whose first attempt can be repeated: tenacity over returned results.

Tenacity costs some 60 µs a call, so only a call whose first attempt is retryable comes here. Backoff is exponential
with full jitter (M. Brooker, 'Exponential Backoff And Jitter'). A shared budget keeps retries a small part of the
traffic, so that a failing server is not flooded.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, wait_random_exponential

from rolecall.engine.clock import Clock
from rolecall.rocketchat.error_table import Action
from rolecall.rocketchat.response_classifier import CallResult

MAX_BACKOFF = 30.0
"""Seconds at which the doubling of the waits ends."""


class RetryBudget:
    """A token bucket of retries: filled by good responses and, slowly, by time; an empty one makes retries wait."""

    def __init__(
        self, clock: Clock, *, capacity: float = 50.0, per_success: float = 0.2, per_second: float = 2.0
    ) -> None:
        self._clock = clock
        self._capacity = capacity
        self._per_success = per_success
        self._per_second = per_second
        self._tokens = capacity
        self._filled_at = clock.now()

    def refill_on_success(self) -> None:
        """Add a part of a token for a good response."""
        self._tokens = min(self._capacity, self._tokens + self._per_success)

    def spend(self) -> float:
        """Spend a token and return the seconds that its retry must wait for it."""
        now = self._clock.now()
        self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self._per_second) - 1.0
        self._filled_at = now
        return max(0.0, -self._tokens / self._per_second)


class RetryPolicy(NamedTuple):
    """How often, and how soon, a call is repeated."""

    max_attempts: int
    """Attempts at most, with the first."""
    backoff: float
    """Seconds: the upper end of the first wait, doubled each time."""
    budget: RetryBudget


async def retry(
    first: CallResult,
    attempt: Callable[[], Awaitable[CallResult]],
    policy: RetryPolicy,
    on_retry: Callable[[CallResult, float], None],
) -> CallResult:
    """Repeat a call until its result is not retryable or no attempt is left, and return the last result.

    `first` is the result of the first attempt. `on_retry` gets each retryable result, and the seconds until the next
    attempt; what it raises ends the retries.
    """
    made = [first]
    token_wait = 0.0  # seconds that the next retry waits for its token

    async def next_attempt() -> CallResult:
        return made.pop() if made else await attempt()

    def report(state: RetryCallState) -> None:
        nonlocal token_wait
        if state.outcome is not None and state.next_action is not None:
            token_wait = policy.budget.spend()
            on_retry(state.outcome.result(), state.next_action.sleep + token_wait)

    async def pause(seconds: float) -> None:
        await asyncio.sleep(seconds + token_wait)

    # One for each call: tenacity keeps its next action on the object, which concurrent calls would mix up.
    retrying = AsyncRetrying(
        stop=stop_after_attempt(policy.max_attempts),
        wait=wait_random_exponential(multiplier=policy.backoff, max=MAX_BACKOFF),
        retry=retry_if_result(is_retryable),
        sleep=pause,
        before_sleep=report,
        retry_error_callback=last_result,
    )
    return await retrying(next_attempt)


def is_retryable(result: CallResult) -> bool:
    """Return whether a result asks for another attempt."""
    return result.rule.action is Action.RETRY


def last_result(state: RetryCallState) -> CallResult:
    """Return the result of the last attempt once no more are left."""
    if state.outcome is None:
        raise AssertionError("tenacity ends a retry only after an attempt")
    result: CallResult = state.outcome.result()
    return result
