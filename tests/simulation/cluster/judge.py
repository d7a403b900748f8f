"""The judge of several workers: the rules of one worker, and when a row may be sent again."""

import math
from collections.abc import Sequence
from itertools import pairwise

from rolecall.models import Result
from rolecall.sandbox.write_routes import CHANGES
from tests.simulation.cluster.watch import ClusterWatch
from tests.simulation.judge import Judge
from tests.simulation.network import Network, Sent
from tests.simulation.scenario import Scenario
from tests.simulation.violation import require
from tests.simulation.workspace import Pair

WORST_SECOND = 1.05
"""The calls in any second, as a multiple of the own rate."""
A_SECOND = 0.999


class ClusterJudge(Judge):
    """Judges one scenario of several workers."""

    def __init__(self, scenario: Scenario, pairs: Sequence[Pair], network: Network, watch: ClusterWatch) -> None:
        super().__init__(scenario, pairs, network)
        self._left_open = watch.left_open
        self._watch = watch

    def final(self, results: Sequence[Result]) -> None:
        """Check the report of a run that has ended, and the own rate of all workers together."""
        super().final(results)
        rate, is_paused = self._scenario.settings.rate, bool(self._scenario.interruptions)
        if rate is None or is_paused:
            return
        most = math.ceil(WORST_SECOND * rate)
        left = [sent.at for sent in self._network.sent if sent.route in CHANGES]
        for first, later in zip(left, left[most:], strict=False):
            require("rate", later - first > A_SECOND, "{} calls and one more in {:.3f} s", most, later - first)

    def _check_repetitions(self, pair: Pair, calls: Sequence[Sent]) -> None:
        """Check that a call is repeated only where the earlier one's answer proved nothing, or was not recorded.

        It is not recorded where its process died, or lost the database or its shard; that the row had no outcome
        when the later intent was written, the watch has checked. A row that is in doubt, also by an intent without a
        call, may be refused: it is unknown, or left without an outcome where its shard ends early.
        """
        was_in_doubt, starts = False, self._watch.starts
        doubted_from = self._watch.doubted_from.get(pair)
        for first, second in pairwise(calls):
            was_in_doubt = was_in_doubt or (doubted_from is not None and doubted_from <= starts.get(first, (0, 0)))
            lost = first.session in self._watch.lost
            was_left = first.status == 400 and was_in_doubt and starts.get(first) != starts.get(second)
            is_excused = not first.is_sound or lost or was_left
            require("repetition", is_excused, "{} was called again: {} {}", pair, first, second)
            was_in_doubt = was_in_doubt or lost or (not first.is_sound and not first.is_not_done)
