"""A browser for tests: Debian's Chromium with an empty profile, and the application on the loopback interface.

Without Chromium the tests are skipped. After every test, a fixture checks that the browser sent no request to another
host and that no page logged an error.
"""

import os
import shutil
from urllib.parse import urlsplit

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "correct horse battery staple"

# Playwright runs an event loop in the thread of the test, and Django rejects database access in such a thread.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture(scope="module")
def chromium():
    """Return the running browser. It ends with the module, so that its event loop does not run during other tests."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: run apt-get install chromium, or set CHROMIUM to its path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class StaffBrowser:
    """One member of staff at the console, in a browser context of their own."""

    def __init__(self, chromium, url: str, problems: list[str], **options) -> None:
        self.url = url
        self.context = chromium.new_context(
            base_url=url, timezone_id="Africa/Johannesburg", accept_downloads=True, **options
        )
        self.context.set_default_timeout(20_000)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: problems.append(str(error)))
        self.page.on("request", lambda request: self._check_host(request.url, problems))

    def _check_host(self, url: str, problems: list[str]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"data", "blob"} and parts.netloc != urlsplit(self.url).netloc:
            problems.append(f"request to another host: {url}")

    def log_in(self, email: str) -> "StaffBrowser":
        self.page.goto("/admin/login/?next=/admin/")
        self.page.fill("input[name=username]", email)
        self.page.fill("input[name=password]", PASSWORD)
        self.page.press("input[name=password]", "Enter")
        self.page.wait_for_url("**/admin/")
        return self

    def search(self, term: str) -> None:
        """Search with the keyboard only."""
        self.page.locator("#content").wait_for()
        self.page.keyboard.press("/")
        self.page.keyboard.type(term)
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def count_input(self) -> None:
        """Count clicks and key presses of the user, from the next page on."""
        self.context.add_init_script("""
            for (const what of ["click", "keydown"]) addEventListener(what, (event) => {
                // Enter in a form causes a click event on its button, which does not count.
                if (event.isTrusted && (what === "keydown" || event.detail))
                    sessionStorage[what] = Number(sessionStorage[what] || 0) + 1;
            }, {capture: true});
        """)

    @property
    def input_counts(self) -> dict[str, int]:
        """The number of clicks and key presses."""
        counts: dict[str, int] = self.page.evaluate(
            "({clicks: Number(sessionStorage.click || 0), keys: Number(sessionStorage.keydown || 0)})"
        )
        return counts

    def text(self) -> str:
        return " ".join(self.page.locator("#content").inner_text().split())


@pytest.fixture
def log_in(chromium, live_server):
    """Return a function that logs a member of staff in: ``log_in("lead@example.test")`` returns their browser."""
    problems: list[str] = []
    opened: list[StaffBrowser] = []

    def open_browser(email: str, **options) -> StaffBrowser:
        opened.append(StaffBrowser(chromium, live_server.url, problems, **options))
        return opened[-1].log_in(email)

    yield open_browser
    for browser in opened:
        browser.context.close()
    assert problems == []
