"""A fleet of real processes with its page, and people who may sign in."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Self

import httpx2

from support.fleet_boxes import Fleet, command
from support.processes import BIN, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from support.browser import Visitor

PASSWORD = "unrelated words of a test"


class PagedFleet(Fleet):
    """`with PagedFleet(tmp_path) as fleet:`; `await fleet.person("ada", "admin")` makes one."""

    def __init__(self, directory: Path, *arguments: str, valid_for: str = "30d") -> None:
        super().__init__(directory, valid_for)
        self.port = free_port()
        self.server.add(*("--web", f"127.0.0.1:{self.port}"), *arguments)

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    @property
    def page(self) -> str:
        """Where a browser finds it."""
        return f"https://localhost:{self.port}"

    async def person(self, name: str, role: str = "viewer") -> None:
        """Make a user."""
        made = await command(
            *(BIN / "forebay-fleet", "user", "add", name, "--role", role),
            *("--data", self.server.data),
            stdin=PASSWORD + "\n",
        )
        assert made.code == 0, made

    @property
    def trust(self) -> ssl.SSLContext:
        """Give what trusts this fleet's authority alone."""
        return ssl.create_default_context(cafile=self.pki / "ca.crt")

    def client(self, **headers: str) -> httpx2.AsyncClient:
        """Give somebody without a browser."""
        return httpx2.AsyncClient(
            base_url=self.page, verify=self.trust, headers=headers, timeout=30.0
        )

    async def enter(self, visitor: Visitor, name: str) -> None:
        """Have somebody sign in, and wait until a page is there."""
        await visitor.sign_in(self.page, name, PASSWORD)
        await visitor.page.wait_for_selector(".fb-page")
