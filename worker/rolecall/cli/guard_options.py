"""The options that limit what a run may take, and the one that says why it is made."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from rolecall.cli.options import MaxFailures
from rolecall.engine.removal_limits import UNATTENDED_FROM, UNATTENDED_SHARE, RemovalLimits, RemovalThreshold

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_REASON_LENGTH = 500


class MaxRemovals(MaxFailures):
    """A number of roles, or a percentage of those who have the role."""

    name = "removals"
    threshold = RemovalThreshold


_LIMITS = (
    click.option(
        "--max-removals",
        type=MaxRemovals(),
        metavar="N|P%",
        help="Refuse the run before its first change if it would take more of the leaders in its rooms. "
        "Default with --yes: 80%, from 100 removals on.",
    ),
    click.option(
        "--max-removals-per-room", type=MaxRemovals(), metavar="N|P%", help="The same for each room on its own."
    ),
    click.option(
        "--keep-leaders",
        type=click.IntRange(0, 1000),
        default=0,
        show_default=True,
        metavar="N",
        help="Refuse the run if a room would have fewer leaders left than this.",
    ),
)
reason_option = click.option(
    "--reason", metavar="TEXT", default="", help="Why: stands in the summary, on the page and in the notification."
)
"""The option that says why a run is made."""
GUARDS = ("max_removals", "max_removals_per_room", "keep_leaders")


def limit_options(command: Command) -> Command:
    """Add the options that limit what a run may take."""
    for option in reversed(_LIMITS):
        command = option(command)
    return command


def guard_options(command: Command) -> Command:
    """Add the options that limit what a run may take, and `--reason`."""
    return limit_options(reason_option(command))


def removal_limits(options: Mapping[str, Any], *, unattended: bool) -> RemovalLimits:
    """Return the limits that the options set; a run that no person confirms has one in all by default.

    A share of 100% is no limit, so nothing has to be counted for it.
    """
    in_all, per_room, keep = (options[name] for name in GUARDS)
    if in_all is None and unattended:
        return RemovalLimits(UNATTENDED_SHARE, _limit(per_room), keep, UNATTENDED_FROM)
    return RemovalLimits(_limit(in_all), _limit(per_room), keep)


def _limit(threshold: RemovalThreshold | None) -> RemovalThreshold | None:
    return None if threshold is not None and threshold.is_percent and threshold.limit >= 100 else threshold


def parse_reason(text: str) -> str:
    """Return the reason on one line. Raises UsageError for one that is too long."""
    reason = " ".join(text.split())
    if len(reason) > MAX_REASON_LENGTH:
        raise click.UsageError(f"--reason has {len(reason):,} characters: write at most {MAX_REASON_LENGTH}")
    return reason
