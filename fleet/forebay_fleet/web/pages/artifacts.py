"""What is published for boxes: agents, plugins, models.

Owns that page. Must not know how it is signed; only people's keys can publish.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nicegui import ui

from forebay_fleet.web.frame import Link
from forebay_fleet.web.pieces import card, plain_table

if TYPE_CHECKING:
    from forebay_fleet.web.frame import Site, View

COLUMNS = ("type", "name", "version", "size", "sha256")


def add_to(site: Site) -> None:
    """Add the page."""

    @site.page("/artifacts", "artifacts.title", link=Link("artifacts.title", "inventory_2", 30))
    async def artifacts(view: View) -> None:
        t = view.t
        found = await asyncio.to_thread(view.published.artifacts)
        with card():
            if not found:
                ui.label(t("artifacts.none")).classes("fb-muted")
                return
            rows = [
                (
                    *(t.of("kind", one.type), one.name, one.version),
                    *(f"{one.size_bytes / 2**20:,.1f} MiB", one.sha256.hex()),
                )
                for one in found
            ]
            body = ui.element("div").classes("fb-wide")
            plain_table(body, [t(f"artifacts.{name}") for name in COLUMNS], rows)
