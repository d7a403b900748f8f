"""The verdict of the judge."""


class Violation(AssertionError):  # noqa: N818 - a verdict, as an assertion is
    """A rule is broken."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(f"{rule}: {what}")
        self.rule = rule


def require(rule: str, is_kept: bool, what: str, *values: object) -> None:
    """Raise Violation unless the rule is kept; `what` has the values in its braces, which costs time only then."""
    if not is_kept:
        raise Violation(rule, what.format(*values))
