"""One rollout: how far each wave is, which box stands where, and what a person may do about it.

Owns that page. Must not know how a rollout goes on.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from nicegui import ui

from forebay_fleet.access.roles import Role
from forebay_fleet.errors import FleetError
from forebay_fleet.rollouts import book
from forebay_fleet.rollouts.plans import BoxState, State
from forebay_fleet.web import moments
from forebay_fleet.web.pages.rollouts import TONES, bar
from forebay_fleet.web.pieces import card, facts_list, pill

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forebay_fleet.access.roles import Principal
    from forebay_fleet.registry import Registry
    from forebay_fleet.web.frame import Site, View

REFRESH_S = 2.0
BOX_TONES = {
    BoxState.COMMITTED: "good",
    BoxState.OFFERED: "warn",
    BoxState.FAILED: "bad",
    BoxState.LATE: "bad",
}
MOST_SHOWN = 300
"""Boxes of one wave; what is wrong comes first."""
RANKS = {BoxState.FAILED: 0, BoxState.LATE: 1, BoxState.OFFERED: 2}


def add_to(site: Site) -> None:
    """Add the page."""

    @site.page("/rollouts/{id_}", "rollout.title")
    async def show(view: View, id_: str) -> None:
        page = _Page(view, id_)
        await page.draw()
        ui.timer(REFRESH_S, page.refresh, immediate=False)


class _Page:
    """One look at one rollout."""

    def __init__(self, view: View, id_: str) -> None:
        self._view, self._id = view, id_
        self._seen: tuple[Any, ...] = ()

    async def draw(self) -> None:
        """Draw all of it. UsageError if there is no such rollout."""
        found = await self._view.reading(self._read)
        t = self._view.t
        with ui.element("div").classes("fb-bar"):
            self._head = ui.element("div").classes("fb-bar")
            ui.element("div").classes("fb-fill")
            self._buttons = {
                name: ui.button(t(f"rollout.{name}"), on_click=self._step(name, step)).props(
                    "outline"
                )
                for name, step in STEPS.items()
            }
        with card():
            self._facts = ui.element("div")
        self._waves = ui.element("div").classes("fb-waves")
        self._show(*found)

    async def refresh(self) -> None:
        """Show what has changed."""
        try:
            self._show(*await self._view.reading(self._read))
        except FleetError as error:
            self._view.refuse(str(error), error.hint)

    def _read(self, registry: Registry) -> tuple[book.Rollout, list[book.Box]]:
        return book.find(registry, self._id), book.boxes(registry, self._id)

    def _step(
        self, name: str, step: Callable[[Registry, Principal, str, str], None]
    ) -> Callable[[], Awaitable[None]]:
        async def work(who: Principal) -> None:
            t = self._view.t
            why = await self._view.asked_why(t(f"rollout.ask_{name}"), t(f"rollout.{name}"))
            if why is not None:
                await self._view.reading(lambda registry: step(registry, who, self._id, why))
                await self.refresh()

        return self._view.does(Role.OPERATOR, work)

    def _show(self, rollout: book.Rollout, boxes: list[book.Box]) -> None:
        if (rollout, boxes) == self._seen:
            return
        self._seen = (rollout, boxes)
        t, state = self._view.t, rollout.state
        self._head.clear()
        with self._head:
            ui.label(rollout.selector).classes("fb-box-name")
            pill(t(f"rollout_state.{state}"), TONES[state]).props["data-state"] = str(state)
            ui.label(rollout.said).classes("fb-muted")
        may = self._view.who.may(Role.OPERATOR)
        for name, button in self._buttons.items():
            button.set_visibility(may and state in WHEN[name])
        ended = moments.stamp(rollout.ended_ns)
        facts = [("who", rollout.who), ("why", rollout.why or "–")]  # noqa: RUF001
        facts += [("began", moments.stamp(rollout.began_ns)), ("ended", ended)]
        facts_list(self._facts, [(t(f"rollout.{key}"), text) for key, text in facts])
        self._waves.clear()
        with self._waves:
            for wave, group in groupby(boxes, lambda one: one.wave):
                self._wave(rollout, wave, list(group))

    def _wave(self, rollout: book.Rollout, wave: int, boxes: list[book.Box]) -> None:
        t = self._view.t
        counts = {state: sum(one.state is state for one in boxes) for state in BoxState}
        title = t("rollout.wave", number=wave + 1, count=f"{len(boxes):,}")
        with card(title) as element:
            element.props["data-wave"] = str(wave)
            if wave == rollout.wave and not rollout.ended_ns:
                element.classes("fb-current")
            bar(counts, len(boxes))
            with ui.element("div").classes("fb-boxes"):
                ranked = sorted(boxes, key=lambda one: (RANKS.get(one.state, 3), one.gateway))
                for one in ranked[:MOST_SHOWN]:
                    with ui.link(target=f"/gateways/{one.gateway}").classes("fb-boxed") as entry:
                        entry.props["data-box"] = one.gateway
                        entry.props["data-state"] = str(one.state)
                        ui.label(one.gateway).classes("fb-strong")
                        pill(t(f"box_state.{one.state}"), BOX_TONES.get(one.state, "idle"))
                        if one.said:
                            ui.label(one.said).classes("fb-muted fb-said")
            if len(boxes) > MOST_SHOWN:
                more = f"{len(boxes) - MOST_SHOWN:,}"
                ui.label(t("rollout.more", count=more)).classes("fb-muted")


def _abort(registry: Registry, who: Principal, id_: str, why: str) -> None:
    book.abort(registry, who, id_, why, put_back=False)


def _put_back(registry: Registry, who: Principal, id_: str, why: str) -> None:
    book.abort(registry, who, id_, why, put_back=True)


STEPS: dict[str, Callable[[Registry, Principal, str, str], None]] = {
    "pause": book.pause,
    "resume": book.resume,
    "abort": _abort,
    "put_back": _put_back,
}
"""What a person may do with a rollout."""
GOING = frozenset({State.RUNNING, State.PAUSED, State.STOPPED})
WHEN = {
    "pause": frozenset({State.RUNNING}),
    "resume": frozenset({State.PAUSED, State.STOPPED}),
    "abort": GOING,
    "put_back": GOING | {State.DONE},
}
"""In which of its states."""
