"""The HTML report of a run, `report.html`: one self-contained file, written in one pass over the results."""

from rolecall.display.html_report.render import OperationSummary, ReportContext, html_report, prepare
from rolecall.display.html_report.report_model import SessionSpan
from rolecall.display.html_report.timeline import WaitStats

__all__ = ["OperationSummary", "ReportContext", "SessionSpan", "WaitStats", "html_report", "prepare"]
