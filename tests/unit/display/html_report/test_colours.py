"""The page's colours: each outcome has one, and the ring's parts bear those of their outcomes."""

import re
from importlib.resources import files

import pytest

from rolecall.models import Outcome

CSS = (files("rolecall.display.html_report") / "page.css").read_text("utf-8")


def colour(selector: str) -> str:
    """Give the variable that colours what a selector matches."""
    for selectors, rule in re.findall(r"([^{}]+)\{([^{}]*)\}", CSS):
        if selector in [each.strip() for each in selectors.split(",")]:
            found = re.search(r"var\((--[\w-]+)\)", rule)
            if found:
                return found[1]
    raise AssertionError(f"nothing colours {selector}")


@pytest.mark.parametrize("outcome", Outcome)
def test_the_ring_has_the_colour_of_the_outcome(outcome: Outcome) -> None:
    """The part of the ring is found by the outcome's place among all; it has the same colour as its mark."""
    place = list(Outcome).index(outcome)
    assert colour(f".ring .color-{place} path") == colour(f".{outcome.value}")
