"""`rolecall workers`: list the workers of a database."""

import click

from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option


@click.command(cls=DocumentedCommand, short_help="List the workers of a database, on all hosts.")
@click.option("--check", is_flag=True, help="Exit with 6 unless a worker with this --egress sends heartbeats.")
@click.option("--egress", default="", metavar="NAME", help="With --check: its name. Default: the host's name.")
@json_option
def workers(check: bool, egress: str, json: bool) -> int:
    """List the workers of the database: host, address, version, workspaces, last heartbeat and shards.

    The database is named by ROLECALL_DATABASE_URL or ROLECALL_DATABASE_URL_FILE. With --check it is the health check
    of a worker.
    """
    import socket

    from rolecall.cli.config.database_url import load_database_config
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console, event_loop
    from rolecall.cli.views.workers_view import workers_json, workers_lines

    config = load_database_config("workers", console.print_warning, role="rolecall_report")
    from rolecall.cluster.worker.worker_list import has_live_worker, list_workers

    found = event_loop.run(list_workers(config))
    if json:
        console.print_json(workers_json(found))
    elif found:
        for line in workers_lines(found):
            console.print_result(line)
    else:
        console.print_info("There are no workers.")
    if check and not has_live_worker(found, egress or socket.gethostname()):
        return ExitCode.DRIFT
    return ExitCode.OK
