"""A browser for tests: Debian's Chromium, an empty profile, the real application on the loopback.

Where Chromium is absent the tests are skipped, and say so. Nothing may leave the machine, and no page may complain in
the console: both are looked at after every test.
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

# Playwright drives the browser from an event loop of its own; the database is asked from the test, beside it.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture(scope="module")
def chromium():
    """Return the running browser. It ends with the module, so that its event loop runs beside no other test's own."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium, or name it in CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Desk:
    """One member of staff at the console, in a browser of their own."""

    def __init__(self, chromium, url: str, complaints: list[str], **options) -> None:
        self.url = url
        self.context = chromium.new_context(
            base_url=url, timezone_id="Africa/Johannesburg", accept_downloads=True, **options
        )
        self.context.set_default_timeout(20_000)
        self.page = self.context.new_page()
        self.page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda fault: complaints.append(str(fault)))
        self.page.on("request", lambda asked: self._watch(asked.url, complaints))

    def _watch(self, asked: str, complaints: list[str]) -> None:
        parts = urlsplit(asked)
        if parts.scheme not in {"data", "blob"} and parts.netloc != urlsplit(self.url).netloc:
            complaints.append(f"{asked} leaves the machine")

    def log_in(self, email: str) -> "Desk":
        self.page.goto("/admin/login/?next=/admin/")
        self.page.fill("input[name=username]", email)
        self.page.fill("input[name=password]", PASSWORD)
        self.page.press("input[name=password]", "Enter")
        self.page.wait_for_url("**/admin/")
        return self

    def find(self, words: str) -> None:
        """Find from the keyboard, as staff do: once there is something to see."""
        self.page.locator("#content").wait_for()
        self.page.keyboard.press("/")
        self.page.keyboard.type(words)
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def count(self) -> None:
        """Count from the next page on what a hand does."""
        self.context.add_init_script("""
            for (const what of ["click", "keydown"]) addEventListener(what, (event) => {
                // Enter in a form clicks its button; no hand did.
                if (event.isTrusted && (what === "keydown" || event.detail))
                    sessionStorage[what] = Number(sessionStorage[what] || 0) + 1;
            }, {capture: true});
        """)

    @property
    def counted(self) -> dict[str, int]:
        """How many clicks and keys it took."""
        counted: dict[str, int] = self.page.evaluate(
            "({clicks: Number(sessionStorage.click || 0), keys: Number(sessionStorage.keydown || 0)})"
        )
        return counted

    def text(self) -> str:
        return " ".join(self.page.locator("#content").inner_text().split())


@pytest.fixture
def desk(chromium, live_server):
    """Return a maker of desks: ``desk("lead@example.test")`` is that member of staff, logged in."""
    complaints: list[str] = []
    opened: list[Desk] = []

    def open_one(email: str, **options) -> Desk:
        opened.append(Desk(chromium, live_server.url, complaints, **options))
        return opened[-1].log_in(email)

    yield open_one
    for one in opened:
        one.context.close()
    assert complaints == []
