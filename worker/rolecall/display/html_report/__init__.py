"""The page of a run, `report.html`: one file that needs nothing else, made while the results pass by once."""

from rolecall.display.html_report.render import ReportContext, html_report
from rolecall.display.html_report.report_model import SessionSpan
from rolecall.display.html_report.timeline import WAITING

__all__ = ["WAITING", "ReportContext", "SessionSpan", "html_report"]
