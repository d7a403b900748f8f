"""The one notification of an offboarding, also of a night with nothing to do, and of one that could not begin."""

import platform
import time
from dataclasses import dataclass

from rolecall.app.connection import AppContext
from rolecall.app.notifications import NotifyConfig, post_summary
from rolecall.app.offboard_report import OffboardResult
from rolecall.app.run_directory import LOG_FILE
from rolecall.engine.stop_signal import STOP_HINTS
from rolecall.models import OUTCOMES
from rolecall.rocketchat.messages import RunSummary
from rolecall.store.records import count_by_outcome
from rolecall.text import plural


@dataclass(frozen=True, slots=True)
class OffboardNotice:
    """What is posted about one call of the command, and where."""

    name: str
    """Of the list."""
    reason: str
    config: NotifyConfig
    context: AppContext
    started_at: float
    """Epoch seconds."""

    async def post_result(self, result: OffboardResult, *, is_success: bool) -> None:
        """Post how the offboarding ended; raises nothing."""
        if self.config.only_failure and is_success:
            return
        log = self.context.observer.open_log(result.folder / LOG_FILE, hide=self.context.credentials.token)
        await post_summary(lambda: self._of_result(result), self.config.target, self.context, log)

    async def post_error(self, text: str) -> None:
        """Post why the offboarding did not begin; raises nothing."""
        log = self.context.observer.open_log(None, hide=self.context.credentials.token)
        await post_summary(lambda: self._of_error(text), self.config.target, self.context, log)

    def _of_result(self, result: OffboardResult) -> RunSummary:
        reasons: dict[str, int] = {}
        for count in result.counts:
            if OUTCOMES[count.outcome].needs_attention and count.reason:
                reasons[count.reason] = reasons.get(count.reason, 0) + count.rows
        return RunSummary(
            _headline(result),
            {outcome.value: rows for outcome, rows in count_by_outcome(result.counts).items()},
            reasons,
            self._operation,
            result.workspace,
            result.account,
            (result.ended_at - result.started_at) / 1000,
            platform.node(),
            str((result.folder / "report.csv").resolve()),
            result.request.reason,
        )

    def _of_error(self, text: str) -> RunSummary:
        seconds = time.time() - self.started_at
        account, workspace = self.context.credentials.user_id, self.context.connection.url
        headline = "Rolecall could not begin the offboarding."
        host = platform.node()
        return RunSummary(
            headline, {}, {}, self._operation, workspace, account, seconds, host, "", self.reason, error=text
        )

    @property
    def _operation(self) -> str:
        return f"offboard {self.name}"


def _headline(result: OffboardResult) -> str:
    found = result.people_by_state["found"]
    people = f"{found:,} of {plural(len(result.people), 'person', 'people')} found"
    if result.stop is not None:
        return f"Rolecall stopped the offboarding: {STOP_HINTS[result.stop]}. {people}."
    if result.report_error:
        return f"Rolecall has offboarded, but could not write a report. {people}."
    look = ", some rows need a look" if result.has_failures else ""
    return f"Rolecall has offboarded: {people}{look}."
