"""A real Chromium without a screen, and somebody who looks at a page with it.

What the browser complains about fails the test: errors and warnings on its console, exceptions of
scripts, requests that failed, answers of 400 and above. Who expects one of them says so.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import (
        BrowserContext,
        ConsoleMessage,
        Page,
        Playwright,
        Request,
        Response,
    )

WAIT_MS = 60_000.0
"""How long somebody waits for what is to appear: a busy machine is not a defect."""
LAPTOP, TABLET = (1280, 800), (820, 1180)
"""Width and height in CSS pixels."""
ABORTED = "net::ERR_ABORTED"
"""What a request says that a page began and left behind by going elsewhere."""


class Visitor:
    """Somebody with a browser window: their cookies, their language, light or dark."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context, self.page = context, page
        self.faults: list[str] = []
        """What the browser complained of."""
        self._expected: list[re.Pattern[str]] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def expects(self, pattern: str) -> None:
        """Take complaints that match this for what the test is about."""
        self._expected.append(re.compile(pattern))

    def unexpected(self) -> list[str]:
        """Give what was complained of and is no part of the test."""
        return [
            fault for fault in self.faults if not any(one.search(fault) for one in self._expected)
        ]

    async def sign_in(self, address: str, name: str, password: str) -> None:
        """Go to the site at `address` and sign in with a password."""
        await self.page.goto(f"{address}/sign-in")
        await self.page.fill("input[name=name]", name)
        await self.page.fill("input[name=password]", password)
        await self.page.click("button[type=submit]")

    async def look(self, path: Path) -> None:
        """Take a picture of the whole page; what moves stands still in it."""
        await self.page.screenshot(path=path, full_page=True, animations="disabled")

    async def overflow(self) -> int:
        """Give by how many CSS pixels the page is wider than its window."""
        found = await self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return int(found)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.faults.append(f"{message.type}: {message.text} {message.location['url']}")

    def _failed(self, request: Request) -> None:
        if request.failure != ABORTED:
            self.faults.append(f"{request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.request.method} {response.url}: {response.status}")


class Browser:
    """`async with Browser(chromium_binary) as browser:` is one browser, of one event loop."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary
        self._starting = async_playwright()

    async def __aenter__(self) -> Self:
        self._playwright: Playwright = await self._starting.start()
        self._browser = await self._playwright.chromium.launch(
            executable_path=self._binary,
            chromium_sandbox=False,  # root and many containers cannot make one; pages are our own
            args=["--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._browser.close()
        await self._playwright.stop()

    @asynccontextmanager
    async def visitor(
        self,
        *,
        size: tuple[int, int] = LAPTOP,
        dark: bool = False,
        language: str = "en-GB",
    ) -> AsyncIterator[Visitor]:
        """Let somebody look, with cookies of their own; AssertionError if the browser complained.

        Certificates are not checked: those of tests are of an authority that no browser knows.
        """
        context = await self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            locale=language,
            timezone_id="UTC",
            reduced_motion="reduce",
            ignore_https_errors=True,
        )
        context.set_default_timeout(WAIT_MS)
        visitor = Visitor(context, await context.new_page())
        try:
            yield visitor
            complaints = visitor.unexpected()
            assert not complaints, complaints
        finally:
            await context.close()
