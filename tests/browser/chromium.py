"""The Chromium of the system, without background network use."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def installed() -> str | None:
    """Return the path of the browser; None if it is not installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def opened(playwright: "Playwright", **options: Any) -> Iterator["BrowserContext"]:
    """Start the browser with a new profile. `options` are those of Playwright's persistent context."""
    arguments = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]  # Chromium has no sandbox for root
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=installed(), headless=True, args=arguments, **options
        )
        try:
            yield context
        finally:
            context.close()


class Visit:
    """An open page, with the requests that it sent and the errors that it logged."""

    def __init__(self, page: "Page", path: Path) -> None:
        """Open the file `path` in `page`; any other request is recorded and refused."""
        self.page = page
        self.path = path
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("console", lambda message: self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        page.route("**/*", self._record)
        page.goto(path.as_uri())

    def _record(self, route: Any) -> None:
        self.requests.append(route.request.url)
        if route.request.url == self.path.as_uri():
            route.continue_()
        else:
            route.abort()

    def rows(self) -> list[dict[str, str]]:
        """Return the visible rows of the table as dictionaries by column heading."""
        rows: list[dict[str, str]] = self.page.evaluate(
            "[...document.querySelectorAll('#list tbody tr')].map((row) =>"
            " Object.fromEntries([...row.cells].map((cell) => [cell.dataset.label, cell.textContent])))"
        )
        return rows

    def count(self) -> str:
        """Return the text that counts the rows."""
        return str(self.page.inner_text("#count"))

    def search(self, text: str) -> str:
        """Type into the search field; return the text that counts the rows, once it has changed."""
        before = self.count()
        self.page.fill("#text", text)
        self.page.wait_for_function("(before) => document.getElementById('count').textContent !== before", arg=before)
        return self.count()
