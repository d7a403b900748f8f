"""Reasons of rows and of lookups, as text and as JSON."""

from collections.abc import Iterator, Sequence

from rolecall.app.reasons import Reason, ReasonSource
from rolecall.cli.views.explain_view import labelled
from rolecall.models import Json


def reason_lines(reasons: Sequence[Reason]) -> Iterator[str]:
    """Return what each of some reasons means, as lines for a person."""
    for number, reason in enumerate(reasons):
        if number:
            yield ""
        yield from labelled("Reason", reason.reason)
        yield from labelled("Outcome", reason.outcome)
        yield from labelled("What to do", reason.hint)
        yield from labelled("Source", reason.source.replace("`", ""))


def list_lines(reasons: Sequence[Reason]) -> Iterator[str]:
    """Return the names of all reasons, by their sources."""
    for source in ReasonSource:
        yield f"{source.replace('`', '')}:"
        for reason in reasons:
            if reason.source is source:
                yield f"  {reason.reason}"


def reasons_json(reasons: Sequence[Reason]) -> Json:
    """Return reasons as JSON."""
    return [
        {
            "reason": reason.reason,
            "source": reason.source.name.lower(),
            "outcome": reason.outcome,
            "hint": reason.hint,
        }
        for reason in reasons
    ]
