"""Who is signed in, and the sessions that are open in their name.

Owns that page. Must not know how sessions are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from forebay_fleet.access import sessions
from forebay_fleet.access.roles import Role
from forebay_fleet.web import moments
from forebay_fleet.web.frame import Link

if TYPE_CHECKING:
    from forebay_fleet.access.roles import Principal
    from forebay_fleet.web.frame import Site, View


def add_to(site: Site) -> None:
    """Add the page."""
    link = Link("account.title", "account_circle", 90)

    @site.page("/account", "account.title", link=link)
    async def account(view: View) -> None:
        with ui.element("section").classes("fb-card"):
            _facts(view)
        with ui.element("section").classes("fb-card"):
            await _sessions(view)


def _facts(view: View) -> None:
    with ui.element("dl").classes("fb-facts"):
        for key, value in (
            ("account.name", view.who.name),
            ("account.role", view.t(f"role.{view.who.role.word}")),
            ("account.via", view.t(f"via.{view.who.via}")),
        ):
            _text("dt", view.t(key))
            _text("dd", value)


def _text(tag: str, text: str) -> None:
    with ui.element(tag):
        ui.label(text)


async def _sessions(view: View) -> None:
    t, now_ns = view.t, view.context.now_ns()
    rows = await view.reading(lambda registry: sessions.of(registry, view.who.name, now_ns))
    ui.label(t("account.sessions")).classes("fb-card-title")
    with ui.element("ul").classes("fb-plain"):
        for row in rows:
            with ui.element("li"):
                began = moments.stamp(row.began_ns)
                seen = moments.ago(t, now_ns - row.seen_ns)
                ui.label(t("account.session", began=began, seen=seen))

    async def end_all(who: Principal) -> None:
        await view.reading(lambda registry: sessions.end_all(registry, who))
        ui.navigate.to("/sign-in")

    ui.button(t("account.end_all"), on_click=view.does(Role.VIEWER, end_all)).props("outline")
