"""The report page in Chromium: it opens a page, and finds what went wrong in it."""

import shutil
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Page, sync_playwright

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
WIDTHS = {"wide": 1280, "narrow": 500}


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page, and the errors and requests that it must not have."""

    page: Page
    faults: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.page.on("console", lambda m: m.type == "error" and self.faults.append(m.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self._request(request.url))

    def _request(self, url):
        if not url.startswith(("file:", "blob:", "data:")):
            self.faults.append(f"request: {url}")


@pytest.fixture
def open_page(browser):
    """A function that opens a file, and in the end finds the faults of all that it opened."""
    opened = []

    def open_page(path, width="wide", scheme="light"):
        size = {"width": WIDTHS[width], "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        opened.append(Watched(context.new_page()))
        opened[-1].page.goto(f"file://{path}")
        return opened[-1].page

    yield open_page
    for watched in opened:
        watched.page.context.close()
    assert [watched.faults for watched in opened] == [[] for _ in opened]


@pytest.fixture(scope="session")
def report(finished_run):
    """The page of a run with jobs of every rule."""
    return finished_run.folder / "results" / "report.html"
