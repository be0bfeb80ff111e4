"""A real browser for the tests: Debian's chromium, and windows whose complaints fail the test.

Nothing here knows how fast the machine is: what is waited for is what somebody would see, and the time allowed only ends a
test that has failed already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]  # fmt: skip
#: How long anything may take on a machine that has much else to do, in milliseconds.
PATIENCE = 60_000
#: What axe looks for: WCAG 2.2 AA, and what its makers hold to be good besides.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

expect.set_options(timeout=PATIENCE)

#: Open a window; what is given goes to Browser.new_context.
Open = Callable[..., Page]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, or a skip that says what to install."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no {CHROMIUM}: install Debian's chromium (apt-get install chromium fonts-noto-core)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS, timeout=PATIENCE)
        yield browser
        browser.close()


@contextmanager
def windows(browser: Browser, expected: str = "$.") -> Iterator[Open]:
    """Windows of one test. Whatever the browser complains of fails it, but for what is `expected`."""
    complaints: list[str] = []
    contexts = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not re.search(expected, message.text):
            complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def open_(width: int = 1280, height: int = 900, **how: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **how)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def is_hop(response: Response) -> bool:
    """Whether this is the phone page's answer to something dialled, answered or sent."""
    return response.url.rpartition("/")[2] in ("dial", "answer", "sms")


def is_clean(page: Page) -> None:
    """axe finds nothing."""
    found = Axe().run(page, options={"runOnly": RULES})
    assert not found.response["violations"], found.generate_report()
