"""The page of a run, `report.html`: one file that needs nothing else, made while the results pass by once."""

from worker.display.page.render import Facts, page
from worker.display.page.story import Span
from worker.display.page.timeline import WAITING

__all__ = ["WAITING", "Facts", "Span", "page"]
