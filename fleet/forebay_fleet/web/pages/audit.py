"""Who did what, when, and why.

Owns that page. Must not know what the words mean.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nicegui import ui

from forebay_fleet.access import trail
from forebay_fleet.web import moments
from forebay_fleet.web.frame import Link
from forebay_fleet.web.pieces import card, plain_table

if TYPE_CHECKING:
    from forebay_fleet.web.frame import Site, View

MOST_SHOWN = 100
COLUMNS = ("time", "who", "via", "what", "subject", "why", "details")


def add_to(site: Site) -> None:
    """Add the page."""

    @site.page("/audit", "audit.title", link=Link("audit.title", "history", 50))
    async def audit(view: View, subject: str = "", before: str = "") -> None:
        t = view.t
        known = int(before) if before.isdecimal() and len(before) < 19 else None
        rows = await view.reading(
            lambda registry: trail.entries(
                registry, subject=subject or None, before=known, limit=MOST_SHOWN
            )
        )
        with card():
            body = ui.element("div").classes("fb-wide")
            shown = [
                (
                    *(moments.stamp(row.at_ns), row.who, t.of("via", row.via), row.what),
                    *(row.subject, row.why, _short(row.details)),
                )
                for row in rows
            ]
            plain_table(body, [t(f"audit.{name}") for name in COLUMNS], shown)
            if len(rows) == MOST_SHOWN:
                ui.link(t("audit.older"), f"/audit?before={rows[-1].id}")


def _short(details: dict[str, object]) -> str:
    return json.dumps(details, ensure_ascii=False)[:160] if details else ""
