"""Another attempt, for rows that asked for one: tenacity over returned verdicts.

Tenacity costs some 60 µs a call, so only a row whose first attempt has asked for another comes here. Backoff is
exponential with full jitter (M. Brooker, 'Exponential Backoff And Jitter'); a budget for the whole run keeps retries
a small part of the traffic, so that a sick server is not hammered.
"""

import asyncio
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, wait_random_exponential

from rolecall.engine.clock import Clock
from rolecall.rocketchat.error_table import Action
from rolecall.rocketchat.response_classifier import CallResult

MAX_BACKOFF = 30.0
"""Seconds at which the doubling of the waits ends."""


class RetryBudget:
    """A token bucket of retries: filled by good answers and, slowly, by time; an empty one makes retries wait."""

    def __init__(self, clock: Clock, *, most: float = 50.0, per_answer: float = 0.2, per_second: float = 2.0) -> None:
        self._clock = clock
        self._most = most
        self._per_answer = per_answer
        self._per_second = per_second
        self._tokens = most
        self._filled_at = clock.now()

    def good_answer(self) -> None:
        """Earn a part of a retry."""
        self._tokens = min(self._most, self._tokens + self._per_answer)

    def take(self) -> float:
        """Spend a retry, and tell how many seconds it must wait for its token."""
        now = self._clock.now()
        self._tokens = min(self._most, self._tokens + (now - self._filled_at) * self._per_second) - 1.0
        self._filled_at = now
        return max(0.0, -self._tokens / self._per_second)


async def retry(
    first: CallResult,
    attempt: Callable[[], Awaitable[CallResult]],
    *,
    most: int,
    backoff: float,
    budget: RetryBudget,
    on_retry: Callable[[CallResult, float], None],
) -> CallResult:
    """Attempt a row until its verdict asks for no more, at most `most` times with the first; give the last verdict.

    `backoff`: seconds, the upper end of the first wait, doubled each time.
    `on_retry` is told each verdict that asks for another attempt, and the seconds until that.
    """
    made = [first]
    token = 0.0  # seconds that the next retry waits for its token

    async def next_attempt() -> CallResult:
        return made.pop() if made else await attempt()

    def tell(state: RetryCallState) -> None:
        nonlocal token
        if state.outcome is not None and state.next_action is not None:
            token = budget.take()
            on_retry(state.outcome.result(), state.next_action.sleep + token)

    async def pause(seconds: float) -> None:
        await asyncio.sleep(seconds + token)

    # One for each row: tenacity keeps what it is about to do on the object, which concurrent calls would mix up.
    retrying = AsyncRetrying(
        stop=stop_after_attempt(most),
        wait=wait_random_exponential(multiplier=backoff, max=MAX_BACKOFF),
        retry=retry_if_result(is_retryable),
        sleep=pause,
        before_sleep=tell,
        retry_error_callback=last_result,
    )
    return await retrying(next_attempt)


def is_retryable(verdict: CallResult) -> bool:
    """Tell whether a verdict asks for another attempt."""
    return verdict.rule.action is Action.RETRY


def last_result(state: RetryCallState) -> CallResult:
    """Give the verdict of the last attempt once no more are left."""
    if state.outcome is None:
        raise AssertionError("tenacity ends a retry only after an attempt")
    verdict: CallResult = state.outcome.result()
    return verdict
