"""Job files in, reports out: what crosses the border of this room."""

from worker.files.atomic import UnsafePath, replace_atomically, write_json
from worker.files.job import Job, open_job
from worker.files.outfolder import UnusableFolder, job_folder, make_private, new_run_folder, runs_newest_first
from worker.files.problems import BAD_ROW_REASONS, UnusableJob
from worker.files.report import REPORT_COLUMNS, REPORT_FORMATS, is_worth_another_run, rfc3339, write_report
from worker.files.runlog import read_events

__all__ = [
    "BAD_ROW_REASONS",
    "REPORT_COLUMNS",
    "REPORT_FORMATS",
    "Job",
    "UnsafePath",
    "UnusableFolder",
    "UnusableJob",
    "is_worth_another_run",
    "job_folder",
    "make_private",
    "new_run_folder",
    "open_job",
    "read_events",
    "replace_atomically",
    "rfc3339",
    "runs_newest_first",
    "write_json",
    "write_report",
]
