"""The help of a command: its options under headings, and examples. The man page is made of the same."""

from collections.abc import Iterator
from types import MappingProxyType

import click

HEADINGS = MappingProxyType[str, tuple[str, ...]](
    {
        "Job": (
            "operation",
            "encoding",
            "room_column",
            "user_column",
            "out",
            "new",
            "plan",
            "save_plan",
            "dry_run",
            "retry_failed",
            "workspaces",
            "workspace",
            "shard_rows",
        ),
        "Safety": (
            "yes",
            "max_failures",
            "max_removals",
            "max_removals_per_room",
            "keep_leaders",
            "reason",
            "read_roles",
            "message_evidence",
            "late_arrival",
            "no_wait",
            "include_inferred",
            "room_cache",
        ),
        "Pace": ("rate", "concurrency", "max_attempts", "retry_backoff", "outage_timeout", "shutdown_timeout"),
        "Connection": ("connect_timeout", "timeout", "allow_http", "ca_file"),
        "Output": (
            "report_format",
            "report_delimiter",
            "report_bom",
            "exit_code",
            "wait",
            "prometheus",
            "quiet",
            "log_format",
            "json",
            "notify",
            "notify_file",
            "notify_on",
            "metrics_file",
        ),
    }
)
"""The options of each heading, by name. An option that is in none of them stands first, under "Options"."""
OWN, LAST = "Options", "Other"

EXAMPLES = MappingProxyType[str, tuple[str, ...]](
    {
        "find": (
            "rolecall find --users leavers.txt --out job.csv",
            "rolecall find --deactivated --out job.csv",
            "rolecall find --rooms rooms.txt --role moderator --exclude @chief --out job.csv",
        ),
        "check": ("rolecall check job.csv", "rolecall check job.csv --save-plan plan.jsonl"),
        "run": (
            "rolecall run job.csv",
            "rolecall run job.csv --plan plan.jsonl --yes --log-format json",
            "rolecall run job.csv --operation channels.addModerator --rate 5/s",
        ),
        "verify": ("rolecall verify runs/job/20260301T090000Z",),
        "undo": ("rolecall undo runs/job/20260301T090000Z",),
        "offboard": (
            "rolecall offboard --users leavers.txt",
            "rolecall offboard --users leavers.txt --roles leader --ignore-missing --keep-days 90 --yes",
        ),
        "report": ("rolecall report runs/job/20260301T090000Z --report-format jsonl",),
        "status": ("rolecall status", "rolecall status runs/job/20260301T090000Z --json"),
        "runs": ("rolecall runs", "rolecall runs --limit 5 --json"),
        "compare": ("rolecall compare runs/job/20260301T090000Z runs/job/20260302T090000Z",),
        "doctor": ("rolecall doctor", "rolecall doctor --rehearse '#test-room' @test.user"),
        "explain": (
            "rolecall explain room_not_joined",
            "curl -i https://chat.example.org/api/v1/me | rolecall explain -",
        ),
        "template": ("rolecall template csv --out job.csv",),
        "config": ("rolecall config", "rolecall --profile staging config"),
        "completion": ("source <(rolecall completion bash)",),
        "demo": ("rolecall demo", "rolecall demo --rows 50 --out demo-run"),
        "sandbox": ("rolecall sandbox", "rolecall sandbox --limit 10 --window 60"),
        "submit": (
            "rolecall submit job.csv --workspaces workspaces.toml --workspace main",
            "rolecall submit job.csv --workspace main --yes --wait",
        ),
        "runs show": ("rolecall runs show 17", "rolecall runs show 17 --json"),
        "runs stop": ("rolecall runs stop 17",),
        "runs resume": ("rolecall runs resume 17", "rolecall runs resume 17 --retry-failed"),
        "runs report": ("rolecall runs report 17 --out report-17",),
        "runs verify": ("rolecall runs verify 17 --workspaces workspaces.toml",),
        "schedule add": (
            "rolecall schedule add leavers --cron '15 2 * * *' --tz Europe/Berlin --find-users leavers.txt",
            "rolecall schedule add deactivated --cron @daily --find-deactivated --workspace main",
        ),
        "import": ("rolecall import runs/job/20260301T090000Z --workspaces workspaces.toml",),
        "schedule list": ("rolecall schedule list", "rolecall schedule list --json"),
        "schedule pause": ("rolecall schedule pause leavers",),
        "schedule resume": ("rolecall schedule resume leavers",),
        "schedule remove": ("rolecall schedule remove leavers",),
        "runs undo": ("rolecall runs undo 17 --workspaces workspaces.toml --wait",),
        "worker": (
            "rolecall worker --workspaces /etc/rolecall/workspaces.toml",
            "rolecall worker --workspaces workspaces.toml --egress nat-1 --log-format json",
        ),
        "database init": ("rolecall database init",),
        "database upgrade": ("rolecall database upgrade",),
        "database check": ("rolecall database check --json",),
        "database prune": ("rolecall database prune --older-than 400d --yes",),
        "workers": ("rolecall workers", "rolecall workers --check"),
    }
)
"""Command lines for the help of each command; a test parses them."""


class DocumentedCommand(click.Command):
    """A command whose help has headings and examples."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings."""
        for heading, records in grouped_options(self, ctx):
            with formatter.section(heading):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        if lines := EXAMPLES.get(self.name or "", ()):
            with formatter.section("Examples"):
                for line in lines:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def grouped_options(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each heading with its options: how they are written, and what they do."""
    by_heading: dict[str, list[tuple[str, str]]] = {OWN: [], **{heading: [] for heading in HEADINGS}, LAST: []}
    for option in command.get_params(ctx):
        if not isinstance(option, click.Option) or (record := option.get_help_record(ctx)) is None:
            continue
        heading = next((heading for heading, names in HEADINGS.items() if option.name in names), OWN)
        by_heading[LAST if option is command.get_help_option(ctx) else heading].append(record)
    yield from ((heading, records) for heading, records in by_heading.items() if records)
