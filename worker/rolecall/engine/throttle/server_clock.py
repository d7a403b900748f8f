"""The offset of the clock by which the server ends its rate limit windows, as exactly as its responses show it.

Three sources place that clock. A `Date` header is cut down to the second, and a proxy may have replaced it by the time
of another clock. A refusal says "wait N seconds": that is the limiter's own clock, cut to the second as well; where
the two contradict, `Date` is not used any more. And a response that opened a window shows the window's start,
`reset - length`, to the millisecond, once the length is known. The length is taken for a whole number of seconds (the
default is 60, and administrators use round numbers); that guess is dropped for good when a response contradicts it.
"""

import math

from rolecall.engine.throttle.clock_bounds import DRIFT, ClockOffsetBounds, ResetPrecision

TOLERANCE = 0.050
"""Seconds by which two sources may miss each other before they contradict."""
RESET_LATENESS = 0.005
"""Seconds by which a reset may be late, because the server computes it anew for each response."""
DATE_STEP = 1.0
"""Seconds by which `Date` misses the windows' starts where its clock was set; a wrong guess of the length is less."""
USUAL_DIVISORS = (60, 30, 20, 15, 10, 5, 2, 1)
"""Of two possible lengths the one that can be divided by the greater of these is the guess."""
USUAL_LENGTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 600)
"""Seconds of the windows that administrators choose."""
USUAL_EXCESS = 1.02
"""A length up to this multiple of a usual one is not worth a question."""
OWN_CLOCK_EXACTNESS = 0.1
"""Seconds by which the own clock is wrong where it is set by the network."""


class ServerClock:
    """The clock of the server's limiter, learnt from responses. All times in seconds; epoch seconds for the server."""

    def __init__(self) -> None:
        self._offset: ClockOffsetBounds | None = None
        """The offset from `Date`, or from refusals once `Date` was contradicted: known to the second or so."""
        self._uses_date = True
        self._offset_and_length: ClockOffsetBounds | None = None
        """The window's length plus the offset, from the responses that opened windows: known to the millisecond."""
        self._length: int | None = None
        self._may_question_date = True
        self._was_date_set_back = False
        self._is_length_exact = False
        """False where a reset that is a little late may have made it one too long."""
        self._may_guess = True
        self._is_length_confirmed = False
        self._refused: ClockOffsetBounds | None = None
        """From refusals alone."""
        self._wrong_ends = 0
        self._wrong_end_at = -math.inf
        self._resets = ResetPrecision()

    @property
    def reset_precision(self) -> float:
        """Seconds by which a reset may be cut down: 1 for a server that sends whole seconds only."""
        return self._resets.seconds

    @property
    def window_length(self) -> int | None:
        """Seconds of the server's window, None while not known; a guess, good enough to show."""
        return self._length

    @property
    def longest_window(self) -> float:
        """Seconds after which a window has ended, whenever it began; infinite while no length is assumed."""
        return math.inf if self._length is None or not self._may_guess else self._length * (1 + DRIFT)

    def is_date_doubtful(self, own_offset: float | None) -> bool:
        """Return whether `Date` seems to come from another clock, so that windows may end earlier than they seem to.

        That is so for a length that is not usual, where the own clock, which is `own_offset` before the monotonic
        one, disagrees with `Date` and makes the length a usual one, and where `Date` was set back.
        """
        if self._offset is None or not (self._may_question_date and self._uses_date):
            return False
        if self._was_date_set_back and (self._exact_offset is None or not self._is_length_confirmed):
            return True
        if self._is_length_confirmed or not self._may_guess:
            return False
        return self._is_length_unusual or self._is_length_usual_by(own_offset, self._offset.high)

    @property
    def _is_length_unusual(self) -> bool:
        if self._offset_and_length is None or self._length is None or not self._is_length_exact:
            return False
        usual = max(length for length in USUAL_LENGTHS if length <= self._length)
        return self._length > usual * USUAL_EXCESS

    def _is_length_usual_by(self, own_offset: float | None, offset_by_date: float) -> bool:
        """Return whether the own clock is ahead of `Date`, and makes the window's length a usual one."""
        if self._offset_and_length is None or own_offset is None or own_offset <= offset_by_date + DATE_STEP:
            return False
        low, high, _ = self._offset_and_length
        return any(
            low - OWN_CLOCK_EXACTNESS <= length + own_offset <= high + OWN_CLOCK_EXACTNESS for length in USUAL_LENGTHS
        )

    def record_date(self, date: float, sent_at: float, received_at: float) -> None:
        """Learn from a `Date` header: between the two moments the server's clock was within a second after `date`."""
        if self._uses_date:
            seen = ClockOffsetBounds(date - received_at, date + 1.0 - sent_at, received_at)
            if self._offset is not None and (before := self._offset.widened(received_at)).distance(seen) > TOLERANCE:
                self._may_question_date = self._was_date_set_back = seen.high < before.low
            self._offset = seen if self._offset is None else self._offset.narrowed(seen)

    def record_reset(self, reset_at: float, sent_at: float, received_at: float) -> None:
        """Learn from a call that was counted in a window: the limiter's clock had not passed that window's end."""
        if self._resets.record(reset_at):
            self._widen_openings()
        latest = reset_at + self.reset_precision - sent_at
        if self._offset is not None and latest < self._offset.widened(received_at).low - TOLERANCE:
            self._distrust_date(None)

    def record_window_start(self, reset_at: float, sent_at: float, received_at: float) -> None:
        """Learn from the response to the call that opened a window which ends at `reset_at`."""
        seen = ClockOffsetBounds(reset_at - received_at, reset_at + self.reset_precision - sent_at, received_at)
        before, self._offset_and_length = self._offset_and_length, seen
        is_first = before is None or self._length is None
        if before is not None:
            if before.widened(received_at).distance(seen) > TOLERANCE:
                self._is_length_confirmed, is_first = False, True  # a clock was set, or ours stood still
                if not self._uses_date:
                    self._offset = self._exact_offset  # what refusals have shown is out of date
            self._offset_and_length = before.narrowed(seen)
        if not self._may_guess or self._offset is None:
            return
        offset = self._offset.widened(received_at)
        if self._length is None and not self._guess_length(offset):
            return
        exact = self._exact_offset
        distance = 0.0 if exact is None else exact.distance(offset)
        if distance > DATE_STEP and self._is_length_confirmed and self._uses_date:
            self._uses_date, self._offset = False, exact  # the windows go on as before: only `Date` was set
        elif distance > TOLERANCE:
            self.drop_guess()
        else:
            self._is_length_confirmed = self._is_length_confirmed or not is_first

    def record_refusal(self, reset_at: float, seconds: float, sent_at: float, received_at: float) -> bool:
        """Learn from 'wait N seconds', which is rounded up; return True where that corrects what was known.

        'Wait 0 seconds' shows no clock: a window that has ended refuses nothing, except at the very reset.
        """
        if seconds <= 0:
            return False
        was_corrected = self._resets.expect_whole_seconds()
        if was_corrected:
            self._widen_openings()
        low, high = reset_at - seconds, reset_at + self.reset_precision - seconds + 1.0
        seen = ClockOffsetBounds(low - received_at, high - sent_at, received_at)
        self._refused = seen if self._refused is None else self._refused.narrowed(seen)
        if self._offset is None or self._offset.widened(received_at).distance(self._refused) > TOLERANCE:
            self._distrust_date(self._refused)
            was_corrected = True
        if was_corrected:
            self._wrong_end_at = received_at
        return was_corrected

    def record_wrong_end(self, sent_at: float, received_at: float) -> None:
        """Record a refusal in a window that should have ended: the guess was wrong; the second time, so is `Date`."""
        if sent_at < self._wrong_end_at:
            return  # it was in flight beside the first one
        self._wrong_end_at = received_at
        self._wrong_ends += 1
        if self._is_length_confirmed and self._wrong_ends == 1:
            self._is_length_confirmed, self._offset_and_length, self._offset = (
                False,
                None,
                None,
            )  # the length was right: a clock was set
        elif self._wrong_ends > 1 and self._uses_date and self._refused is not None:
            self._distrust_date(self._refused)
        else:
            self.drop_guess()

    def record_question(self) -> None:
        """Record that a call leaves whose refusal shows whether `Date` is right: one is enough."""
        self._may_question_date = False

    def record_right_date(self, sent_at: float, received_at: float) -> None:
        """Record that this refusal has contradicted nothing."""
        if self._was_date_set_back:
            self._was_date_set_back = False
        else:
            self.record_wrong_end(sent_at, received_at)  # the length is unusual, and not known well enough

    def drop_guess(self) -> None:
        """Drop the guess of the window's length for good: from now on only the coarse bounds count."""
        self._may_guess = False

    def to_local(self, server_time: float, now: float) -> float | None:
        """Return the moment of our clock by which the server's has surely reached `server_time`; None if unknown."""
        known = self._exact_offset or self._offset
        return None if known is None else server_time - known.widened(now).low

    @property
    def _exact_offset(self) -> ClockOffsetBounds | None:
        """The offset from the responses that opened windows; None while the window's length is not known."""
        if not self._may_guess or self._offset_and_length is None or self._length is None:
            return None
        low, high, at = self._offset_and_length
        return ClockOffsetBounds(low - self._length, high - self._length, at)

    def _widen_openings(self) -> None:
        """Correct what was learnt from resets that were cut down, and taken for exact ones."""
        if self._offset_and_length is not None:
            self._offset_and_length = self._offset_and_length._replace(high=self._offset_and_length.high + 1.0)

    def _distrust_date(self, offset: ClockOffsetBounds | None) -> None:
        self._uses_date, self._offset = False, offset
        self._length, self._may_guess, self._is_length_confirmed = None, True, False
        if offset is not None and self._offset_and_length is not None:
            self._guess_length(offset)

    def _guess_length(self, offset: ClockOffsetBounds) -> bool:
        """Guess the length; return False where `Date` leaves more than one, and where none is possible."""
        if self._offset_and_length is None:
            return False
        opened = self._offset_and_length.widened(offset.at)
        low, high = opened.low - offset.high, opened.high - offset.low
        lengths = _whole_numbers(low, high)
        if len(lengths) == 1 or not self._uses_date:
            self._length = max(lengths, key=_usualness, default=None)
            self._is_length_exact = _whole_numbers(low - RESET_LATENESS, high) == lengths
        return self._length is not None


def _whole_numbers(low: float, high: float) -> range:
    """Return the whole numbers of seconds in (low, high], from 1."""
    return range(max(1, math.floor(low) + 1), math.floor(high) + 1)


def _usualness(length: int) -> int:
    return max(divisor for divisor in USUAL_DIVISORS if length % divisor == 0)
