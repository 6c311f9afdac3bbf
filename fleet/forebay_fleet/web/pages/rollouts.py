"""All rollouts, and the start of one.

Owns these two pages. Must not know how a rollout goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from forebay_fleet.access.roles import Role
from forebay_fleet.errors import UsageError
from forebay_fleet.rollouts import book
from forebay_fleet.rollouts.plans import BoxState, Plan
from forebay_fleet.web import moments
from forebay_fleet.web.editor import Editor, Findings
from forebay_fleet.web.frame import Link
from forebay_fleet.web.pieces import card, pill

if TYPE_CHECKING:
    from forebay_fleet.access.roles import Principal
    from forebay_fleet.registry import Registry
    from forebay_fleet.web.frame import Site, View

TONES = {"running": "warn", "paused": "idle", "stopped": "bad", "done": "good", "aborted": "idle"}
MOST_SHOWN = 50
MOST_FAULTS = 20


def add_to(site: Site) -> None:
    """Add the pages."""

    @site.page("/rollouts", "rollouts.title", link=Link("rollouts.title", "rocket_launch", 20))
    async def every(view: View) -> None:
        with ui.element("div").classes("fb-bar"):
            ui.element("div").classes("fb-fill")
            with ui.link(target="/rollouts/new").classes("fb-button-link"):
                ui.icon("add")
                ui.label(view.t("rollouts.new"))
        with card():
            rows = await view.reading(_listed)
            if not rows:
                ui.label(view.t("rollouts.none")).classes("fb-muted")
            for rollout, counts in rows:
                _entry(view, rollout, counts)

    @site.page("/rollouts/new", "rollouts.new", role=Role.OPERATOR)
    async def new(view: View) -> None:
        _Start(view).draw()


def _listed(registry: Registry) -> list[tuple[book.Rollout, dict[BoxState, int]]]:
    return [(one, book.counts(registry, one.id)) for one in book.listed(registry, MOST_SHOWN)]


def _entry(view: View, one: book.Rollout, counts: dict[BoxState, int]) -> None:
    t, total = view.t, sum(counts.values()) or 1
    with ui.link(target=f"/rollouts/{one.id}").classes("fb-rollout"):
        pill(t(f"rollout_state.{one.state}"), TONES[one.state])
        ui.label(one.selector).classes("fb-strong")
        bar(counts, total)
        done = counts.get(BoxState.COMMITTED, 0)
        ui.label(f"{done:,} / {total:,}").classes("fb-muted")
        ui.label(one.why).classes("fb-muted fb-cut")
        ui.label(f"{one.who}, {moments.stamp(one.began_ns)}").classes("fb-muted")


def bar(counts: dict[BoxState, int], total: int) -> None:
    """Draw how far a rollout is: kept, under way, failed, the rest."""
    parts = (
        ("good", counts.get(BoxState.COMMITTED, 0)),
        ("warn", counts.get(BoxState.OFFERED, 0)),
        ("bad", counts.get(BoxState.FAILED, 0) + counts.get(BoxState.LATE, 0)),
    )
    with ui.element("div").classes("fb-progress"):
        for tone, number in parts:
            if number:
                piece = ui.element("div").classes(f"fb-{tone}")
                piece.style(f"width: {100 * number / total:.2f}%")


class _Start:
    """The form of a new rollout."""

    def __init__(self, view: View) -> None:
        self._view = view

    def draw(self) -> None:
        """Draw it."""
        t = self._view.t
        with card(t("start.who")), ui.element("div").classes("fb-form"):
            self._selector = _input(t("start.selector"), "*")
            self._first = _input(t("start.first"), "")
            self._canary = _number(t("start.canary"), 1)
            self._percents = _input(t("start.percents"), "25,100")
            self._failures = _number(t("start.failures"), 0)
            self._hours = _number(t("start.hours"), 1)
            self._window = _input(t("start.window"), "")
            self._zone = _input(t("start.zone"), "UTC")
        with card(t("start.what")):
            ui.label(t("start.template")).classes("fb-muted")
            self._editor = Editor(self._view, {})
        self._findings = Findings(self._view)
        with ui.element("div").classes("fb-bar"):
            check, begin = self._check, self._begin
            ui.button(t("start.check"), on_click=self._view.does(Role.OPERATOR, check)).props(
                "outline"
            )
            ui.button(t("start.begin"), on_click=self._view.does(Role.OPERATOR, begin))
            self._waves = ui.label().classes("fb-muted")

    def _wanted(self) -> book.Wanted:
        try:
            percents = tuple(int(one) for one in str(self._percents.value).split(",") if one)
        except ValueError:
            hint = "write 10,50,100"
            raise UsageError("the steps are percentages that rise", hint=hint) from None
        plan = Plan(
            canary=int(self._canary.value or 0),
            percents=percents,
            failures=int(self._failures.value or 0),
            deadline_s=float(self._hours.value or 0) * 3600,
            window=str(self._window.value or "").strip(),
            zone=str(self._zone.value or "UTC").strip(),
        )
        first = tuple(one.strip() for one in str(self._first.value or "").split(",") if one.strip())
        return book.Wanted(str(self._selector.value), self._editor.contents, plan, first)

    async def _check(self, _who: Principal) -> None:
        await self._prove(self._wanted())

    async def _prove(self, wanted: book.Wanted) -> book.Start:
        found = await self._view.reading(lambda registry: book.prove(registry, wanted))
        faults = [(box, fault) for box, own in found.faults.items() for fault in own]
        self._findings.show(faults[:MOST_FAULTS], ())
        waves = ", ".join(f"{size:,}" for size in found.waves)
        self._waves.set_text(
            self._view.t("start.waves", count=f"{len(found.boxes):,}", waves=waves)
        )
        return found

    async def _begin(self, who: Principal) -> None:
        wanted, t = self._wanted(), self._view.t
        found = await self._prove(wanted)
        if found.faults:
            self._view.refuse(t("configure.faults"))
            return
        title = t("start.ask", count=f"{len(found.boxes):,}")
        why = await self._view.asked_why(title, t("start.begin"))
        if why is not None:
            id_ = await self._view.reading(lambda registry: book.start(registry, who, wanted, why))
            ui.navigate.to(f"/rollouts/{id_}")


def _input(label: str, value: str) -> ui.input:
    return ui.input(label, value=value).props("outlined dense maxlength=500")


def _number(label: str, value: float) -> ui.number:
    return ui.number(label, value=value, min=0).props("outlined dense")
