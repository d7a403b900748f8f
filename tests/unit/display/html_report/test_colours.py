"""The colours of the report: each outcome has the one of its style, in its mark and in the ring."""

import re
from importlib.resources import files

import pytest

from rolecall.models import OUTCOMES, Outcome
from tests.unit.display.html_report.making import result, written

CSS = (files("rolecall.display.html_report") / "page.css").read_text("utf-8")
PAGE = written([result(number, outcome) for number, outcome in enumerate(Outcome)])


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_has_the_colour_of_its_style(outcome: Outcome) -> None:
    """The style sheet of the page gives the outcome a colour that is defined for light and dark mode."""
    variable = f"--{OUTCOMES[outcome].style.replace(' ', '-')}"
    assert f".{outcome.value} {{ --mark: var({variable}); }}" in PAGE
    assert re.search(rf"^  {variable}: light-dark\(#\w{{6}}, #\w{{6}}\);$", CSS, re.MULTILINE)


@pytest.mark.parametrize("outcome", Outcome)
def test_the_ring_has_the_colour_of_the_outcome(outcome: Outcome) -> None:
    """The slice of the ring has the class of the outcome, so it has the same colour as its mark."""
    (ring,) = re.findall(r'<svg[^>]*class="chart ring".*?</svg>', PAGE, re.DOTALL)
    assert f'class="series {outcome.value}"' in ring
    assert ".chart .series path, .chart .series rect { fill: var(--mark); }" in CSS


def test_every_variable_is_defined() -> None:
    """The style sheet uses no colour that it does not define."""
    used, defined = set(re.findall(r"var\((--[\w-]+)\)", CSS)), set(re.findall(r"^  (--[\w-]+):", CSS, re.MULTILINE))
    assert used - {"--mark"} <= defined


def test_every_series_has_a_colour() -> None:
    """Each series of a chart has a class that the style sheet colours."""
    series = set(re.findall(r'class="series (series-[\w-]+)"', PAGE))
    expected = ("rows", "not-done", "paused", "outage", "session", "calls")
    assert series == {f"series-{name}" for name in expected}
    assert all(f".{name} {{ --mark: " in CSS for name in series)
