"""A real Chromium for the tests, driven by Playwright, on a phone's and on a desktop's screen.

Chromium is the machine's own (`/usr/bin/chromium` or the one on PATH); where there is none, the tests that need it are
skipped with the reason, or fail with `HANLU_REQUIRE_SERVERS=1`. Pictures go to `tests/artifacts/`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARTIFACTS = Path(__file__).parent / "artifacts"

SCREENS = {
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "has_touch": True,
        "is_mobile": True,
    },
    "desktop": {"viewport": {"width": 1280, "height": 800}},
}

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_LANGUAGES = {"zh": "zh-CN", "en": "en-GB"}
_DEADLINE_MS = 10_000


def find_chromium() -> str | None:
    """Return the path of Chromium, None where there is none."""
    usual = Path("/usr/bin/chromium")
    if usual.is_file():
        return str(usual)
    return next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, started once a session."""
    from fix_services import unavailable  # not above: this file is loaded first

    path = find_chromium()
    if path is None:
        unavailable("Chromium is not installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("playwright is not installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        yield chromium
        chromium.close()


OpenPage = Callable[..., "Page"]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """A function `open_page(screen="desktop", language="zh", **context)` giving a page in a browser of its own.

    After the test every page must be free of script errors and of anything the content security policy had to stop.
    """
    contexts, complaints = [], []

    def new(screen: str = "desktop", language: str = "zh", **more: object) -> Page:
        context = browser.new_context(
            locale=_LANGUAGES[language],
            timezone_id="Asia/Shanghai",
            reduced_motion="reduce",
            **(SCREENS[screen] | more),
        )
        context.set_default_timeout(_DEADLINE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on("console", lambda said: _hear(said.type, said.text, page.url, complaints))
        return page

    yield new
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def picture() -> Callable[[Page, str], Path]:
    """A function `picture(page, name)` that keeps a picture of the whole page in `tests/artifacts/<name>.png`."""

    def keep(page: Page, name: str) -> Path:
        ARTIFACTS.mkdir(exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        page.screenshot(path=path, full_page=True)
        return path

    return keep


def _hear(kind: str, text: str, url: str, complaints: list[str]) -> None:
    # A status of 400 and above is what many tests are about; Chromium writes each to the console as an error.
    if kind == "error" and not text.startswith("Failed to load resource: the server responded with a status of"):
        complaints.append(f"{url}: {text}")
