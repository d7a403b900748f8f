"""The findings of an examination or a rehearsal, as text and as JSON."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from rolecall.app.doctor import Finding, Status, worst
from rolecall.cli.exit_codes import ExitCode, exit_code_of
from rolecall.cli.terminal import console
from rolecall.cli.terminal.console import OutputMode
from rolecall.models import Json

WIDTH = 28
"""Characters of the column with the names of the checks."""


async def show_findings(findings: AsyncGenerator[Finding, None], output: OutputMode) -> ExitCode:
    """Print each finding as it comes, and return the exit code: that of a run with the first problem, else 0."""
    found: list[Finding] = []
    async with aclosing(findings):
        async for finding in findings:
            found.append(finding)
            if not output.json and (not output.quiet or finding.status is Status.PROBLEM):
                for line in _lines(finding):
                    console.print_result(line)
    code = exit_code_of_findings(found)
    if output.json:
        console.print_json(findings_json(found, code))
    return code


def exit_code_of_findings(findings: Sequence[Finding]) -> ExitCode:
    """Return the exit code: 0 without a problem, else that of the error which a run would end with, or 1."""
    problem = worst(findings)
    if problem is None:
        return ExitCode.OK
    return ExitCode.ROW_FAILURES if problem.error is None else exit_code_of(problem.error)


def findings_json(findings: Sequence[Finding], code: ExitCode) -> Json:
    """Return the findings as JSON."""
    return {
        "findings": [
            {"check": each.check, "status": each.status.value, "text": each.text, "todo": each.todo}
            for each in findings
        ],
        "exitCode": int(code),
    }


def _lines(finding: Finding) -> Sequence[str]:
    first = f"{finding.status.value:<8} {finding.check:<{WIDTH}} {finding.text}"
    return [first, f"{'':<8} {'':<{WIDTH}} -> {finding.todo}"] if finding.todo else [first]
