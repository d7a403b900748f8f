"""What a run imports on a thread while it waits for responses."""

import json
import subprocess
import sys

SENDING = ("engine.dispatcher", "engine.throttle.admission", "engine.throttle.read_client", "app.removal_guard")


def modules_after(function: str) -> list[str]:
    """Return which modules are loaded after a function of late_imports, with the observer of the command line."""
    program = (
        "import json, sys\n"
        f"from rolecall.app.late_imports import {function}\n"
        "from rolecall.cli.terminal.console import OutputMode\n"
        "from rolecall.cli.terminal.progress_reporter import ProgressReporter\n"
        f"{function}(ProgressReporter(OutputMode(), assume_yes=True))\n"
        "print(json.dumps(list(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def test_what_sends_and_logs_is_loaded() -> None:
    """The engine, the guards and the logs are imported, and no report."""
    loaded = modules_after("prepare_sending")
    assert {f"rolecall.{name}" for name in (*SENDING, "display.log_setup")} <= set(loaded)
    assert not {"jinja2", "pygal", "rolecall.app.reports"} & set(loaded)


def test_what_reports_and_shows_the_result_is_loaded() -> None:
    """The reports, the page and the view of the result are imported."""
    loaded = modules_after("prepare_end")
    assert {"jinja2", "pygal", "rolecall.app.reports", "rolecall.cli.views.run_view"} <= set(loaded)
