"""What a run imports on a thread while it waits for responses: the first request and the rows need none of it."""

from importlib import import_module

from rolecall.app.observer import Observer

_SENDING = ("engine.dispatcher", "engine.progress", "app.removal_guard", "app.removed_rows", "app.not_joined")


def prepare_sending(observer: Observer) -> None:
    """Import what sends the rows and what logs them: while the workspace answers the first request."""
    for name in _SENDING:
        import_module(f"rolecall.{name}")
    observer.prepare_log()


def prepare_end(observer: Observer) -> None:
    """Import what writes and what shows the result: while the rows are sent."""
    from rolecall.app import reports

    reports.prepare_html_report()
    observer.prepare_result()
