"""Why something ended early, as a sentence."""

from types import MappingProxyType

from rolecall.engine.stop_signal import StopReason

CAUSES = MappingProxyType(
    {
        StopReason.INTERRUPTED: "The {what} was interrupted",
        StopReason.CREDENTIALS: "The workspace refused the credentials",
        StopReason.NO_SUCH_ROUTE: "The workspace does not know the method",
        StopReason.MAX_FAILURES: "Too many rows failed",
        StopReason.OUTAGE: "The workspace stayed away",
        StopReason.STORE: "The ledger could not be written (disk full?)",
        StopReason.KILLED: "The worker was killed",
    }
)
REMEDIES = MappingProxyType(
    {
        StopReason.CREDENTIALS: "make a new token",
        StopReason.NO_SUCH_ROUTE: "correct ROCKETCHAT_URL",
        StopReason.MAX_FAILURES: "look at their reasons",
        StopReason.STORE: "make room",
    }
)
"""What an operator has to do first."""


def format_stop(reason: StopReason, what: str, then: str = "") -> str:
    """Format why a run, check ... (`what`) ended early, what to do, and `then`, such as `the same command goes on`."""
    cause, remedy = CAUSES[reason].format(what=what), REMEDIES.get(reason, "")
    steps = ", then ".join(step for step in (remedy, then) if step)
    return f"{cause}; {steps}." if steps else f"{cause}."
