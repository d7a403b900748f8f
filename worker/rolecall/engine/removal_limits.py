"""What a run may take: limits against a wrong list that would succeed."""

from dataclasses import dataclass

from rolecall.engine.settings import FailureThreshold


class RemovalThreshold(FailureThreshold):
    """How many roles may be taken: a number, or a share of those who have the role."""

    __slots__ = ()

    def is_exceeded(self, removals: int, holders: int) -> bool:
        """Return whether so many removals among so many users with the role are too many."""
        return removals > (holders * self.limit / 100 if self.is_percent else self.limit)


@dataclass(frozen=True, slots=True)
class RemovalLimits:
    """What a run may take; None and 0 set no limit."""

    in_all: RemovalThreshold | None = None
    """Of the roles in all rooms of the due rows."""
    per_room: RemovalThreshold | None = None
    keep: int = 0
    """Users with the role that must be left in each room that loses one."""
    from_removals: int = 0
    """`in_all` allows fewer removals than this."""

    def apply_to(self, rows: int) -> bool:
        """Return whether a run of so many rows may take too much, so that the removals must be counted."""
        return self.keep > 0 or self.per_room is not None or (self.in_all is not None and rows >= self.from_removals)

    @property
    def are_chosen(self) -> bool:
        """Whether a person has set one of them."""
        return self.keep > 0 or self.per_room is not None or (self.in_all is not None and not self.from_removals)


NO_LIMITS = RemovalLimits()
UNATTENDED_SHARE = RemovalThreshold(80, is_percent=True)
UNATTENDED_FROM = 100
"""The limit in all of a run that no person confirms.

A list of everybody takes nearly all roles of its rooms; a list of those who left leaves the rooms that others lead as
well. Below 100 removals a share says little, and a person can look at each row.
"""
