"""The configuration of one box: edited, checked, compared, pushed.

Owns that page. Must not know how a box judges it: it tries it, and keeps it or goes back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nicegui import ui

from forebay_fleet.access.roles import Role
from forebay_fleet.web import box, editing
from forebay_fleet.web.editor import Editor, Findings
from forebay_fleet.web.pieces import card

if TYPE_CHECKING:
    from forebay_fleet.access.roles import Principal
    from forebay_fleet.web.frame import Site, View


def add_to(site: Site) -> None:
    """Add the page."""

    @site.page("/gateways/{name}/config", "configure.title", role=Role.OPERATOR)
    async def configure(view: View, name: str) -> None:
        if name not in {row.name for row in await view.roster.rows()}:
            raise box.unknown(name)
        told = await view.reading(lambda registry: editing.told(registry, name))
        facts = await view.reading(lambda registry: box.facts(registry, name))
        _draw(view, name, told, runs_it=bool(told.hash) and facts.config.running == told.hash)


def _draw(view: View, name: str, told: editing.Told, *, runs_it: bool) -> None:
    t = view.t
    with ui.element("div").classes("fb-bar"):
        ui.link(name, f"/gateways/{name}").classes("fb-box-name")
        ui.element("div").classes("fb-fill")
        check = ui.button(t("configure.check")).props("outline")
        push = ui.button(t("configure.push"))
    with card():
        known = "configure.never" if not told.hash else "configure.runs" if runs_it else ""
        ui.label(t(known or "configure.differs")).classes("fb-muted")
        editor = Editor(view, told.contents)
    findings = Findings(view)

    async def prove() -> editing.Proof:
        contents = editor.contents
        own = await view.reading(lambda registry: editing.variables_of(registry, name))
        published = view.published
        proof = await asyncio.to_thread(editing.prove, contents, own, published)
        findings.show([("", fault) for fault in proof.faults], proof.absent, proof.doubts)
        findings.show_diff(editing.diff(told.contents, proof.contents or contents))
        return proof

    async def checked(_who: Principal) -> None:
        await prove()

    async def pushed(who: Principal) -> None:
        proof = await prove()
        if proof.faults:
            view.refuse(t("configure.faults"))
            return
        why = await view.asked_why(t("configure.ask", name=name), t("configure.push"))
        if why is None:
            return
        place = (view.context.data, view.published, view.context.now_ns(), why)
        await view.reading(lambda registry: editing.push(registry, who, name, proof, place))
        ui.navigate.to(f"/gateways/{name}")

    check.on_click(view.does(Role.OPERATOR, checked))
    push.on_click(view.does(Role.OPERATOR, pushed))
