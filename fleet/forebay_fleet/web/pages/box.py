"""One box: how it stands, its parts, its values, its account, what is wrong.

Owns that page but for its chart and its table of values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nicegui import ui

from forebay_fleet.errors import FleetError
from forebay_fleet.web import box, happenings, moments, roster
from forebay_fleet.web.pages import box_chart, box_values
from forebay_fleet.web.pieces import card, facts_list, pill, plain_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forebay_fleet.web.frame import Site, View
    from forebay_fleet.web.words import Words

REFRESH_S = 2.0
STORE_EVERY = 5
"""The account is read with every fifth look: it costs more, and moves slowly."""
PHASE_TONES = {"committed": "good", "rolled_back": "bad", "failed": "bad"}


def add_to(site: Site) -> None:
    """Add the page."""

    @site.page("/gateways/{name}", "box.title")
    async def show(view: View, name: str) -> None:
        page = _Page(view, name)
        await page.draw()
        ui.timer(REFRESH_S, page.refresh, immediate=False)


class _Page:
    """One look at one box."""

    def __init__(self, view: View, name: str) -> None:
        self._view, self._name = view, name
        self._seen: tuple[Any, ...] = ()
        self._stored = box.Stored((), (), 0)
        self._happened: list[happenings.Event] = []
        self._looks = 0

    async def draw(self) -> None:
        """Draw all of it. UsageError if nobody knows the box."""
        standing, found = await self._read()
        t = self._view.t
        with ui.element("div").classes("fb-bar"):
            ui.label(self._name).classes("fb-box-name").props("role=heading aria-level=2")
            self._head = ui.element("div").classes("fb-bar")
            ui.element("div").classes("fb-fill")
            with ui.link(target=f"/gateways/{self._name}/config").classes("fb-button-link"):
                ui.icon("tune")
                ui.label(t("box.configure"))
        with ui.element("div").classes("fb-grid"):
            with card(t("box.state")):
                self._facts = ui.element("div")
            with card(t("box.configuration")):
                self._config = ui.element("div")
        self._alarms = ui.element("section").classes("fb-card fb-alarms")
        await box_chart.add(self._view, self._name)
        with card(t("box.parts")):
            self._parts = ui.element("div").classes("fb-scroll")
        box_values.add(self._view, self._name)
        with card(t("box.events")) as events:
            self._events = ui.element("div").classes("fb-scroll")
        self._events_card = events
        with card(t("box.account")):
            self._account = ui.element("div").classes("fb-scroll")
        self._show(standing, found)

    async def refresh(self) -> None:
        """Show what has changed."""
        try:
            self._show(*await self._read())
        except FleetError as error:
            self._view.refuse(str(error), error.hint)

    async def _read(self) -> tuple[roster.Standing, box.Facts]:
        context, name = self._view.context, self._name
        rows = await self._view.roster.rows()
        standing = next((row for row in rows if row.name == name), None)
        if standing is None:
            raise box.unknown(name)
        if self._looks % STORE_EVERY == 0:
            self._stored = await context.readers(lambda store: box.stored(store, name))
            self._happened = await context.readers(lambda store: happenings.newest(store, name))
        self._looks += 1
        return standing, await self._view.reading(lambda registry: box.facts(registry, name))

    def _show(self, standing: roster.Standing, found: box.Facts) -> None:
        seen = (standing, found, self._stored, self._happened)
        if seen != self._seen:
            self._seen = seen
            self._draw_head(standing)
            self._draw_facts(standing, found)
            self._draw_config(found)
            self._draw_alarms(found)
            self._draw_parts(found)
            self._draw_events()
            self._draw_account()

    def _draw_head(self, one: roster.Standing) -> None:
        t = self._view.t
        self._head.clear()
        with self._head:
            tone = {"online": "good", "locked": "bad", "revoked": "bad"}.get(one.state, "idle")
            pill(t.of("state", one.state), tone).props["data-state"] = one.state
            for name, value in sorted(one.labels.items()):
                ui.label(f"{name}={value}").classes("fb-label")

    def _draw_facts(self, one: roster.Standing, found: box.Facts) -> None:
        t, now_ns = self._view.t, self._view.context.now_ns()
        health = found.health
        rows = [
            ("box.health", health.status or "–"),  # noqa: RUF001
            ("box.seen", moments.stamp(one.seen_ns)),
            ("box.agent", one.version or "–"),  # noqa: RUF001
            ("box.clock", health.clock.lower() or "–"),  # noqa: RUF001
            ("box.behind", moments.span(t, round(health.buffer_s * 1e9))),
        ]
        if health.journal_full_in_s:
            rows.append(("box.full", moments.span(t, round(health.journal_full_in_s * 1e9))))
        if health.memory_bytes:
            rows.append(("box.memory", f"{health.memory_bytes / 2**20:.0f} MiB"))
        if found.expires_ns:
            left = moments.span(t, found.expires_ns - now_ns)
            rows.append(("box.certificate", f"{moments.stamp(found.expires_ns)} ({left})"))
        facts_list(self._facts, [(t(key), value) for key, value in rows])

    def _draw_config(self, found: box.Facts) -> None:
        t, config = self._view.t, found.config
        attempt, phase = config.last_attempt, roster.phase(config.last_attempt.phase)
        rows = [
            (t("box.running"), config.running.hex()[:16] or "–"),  # noqa: RUF001
            (t("box.source"), t.of("source", config.running_source) or "–"),  # noqa: RUF001
            (t("box.pushed"), found.pushed[:16] or "–"),  # noqa: RUF001
            (t("box.left_out"), str(config.quarantined_count)),
        ]
        facts_list(self._config, rows)
        if not phase:
            return
        with self._config:
            with ui.element("div").classes("fb-bar fb-attempt"):
                ui.label(t("box.attempt")).classes("fb-muted")
                tone = PHASE_TONES.get(phase, "warn")
                pill(t.of("phase", phase), tone).props["data-phase"] = phase
                ui.label(moments.stamp(attempt.began_ns)).classes("fb-muted")
            if attempt.error:
                ui.label(attempt.error).classes("fb-strong")
                ui.label(attempt.hint).classes("fb-muted")

    def _draw_alarms(self, found: box.Facts) -> None:
        t = self._view.t
        lines = [(moments.stamp(at_ns), said) for at_ns, said in found.setbacks]
        lines += [
            (moments.stamp(one.last_ns), t("box.fork", epoch=one.epoch >> 32, seq=one.seq))
            for one in self._stored.forks[-20:]
        ]
        lines += [
            (
                moments.stamp(one.at_ns),
                t("box.aside", epoch=one.epoch >> 32, seq=one.seq, code=one.code),
            )
            for one in self._stored.aside
        ]
        if self._stored.twins:
            lines.append(("", t("box.twins", count=self._stored.twins)))
        if found.shut_out:
            lines.append(("", found.shut_out))
        self._alarms.clear()
        self._alarms.set_visibility(bool(lines))
        with self._alarms:
            ui.label(t("box.alarms")).classes("fb-card-title")
            for when, text in lines:
                with ui.element("div").classes("fb-alarm"):
                    ui.icon("warning")
                    ui.label(text)
                    ui.label(when).classes("fb-muted")

    def _draw_parts(self, found: box.Facts) -> None:
        t = self._view.t
        parts = sorted(found.health.components, key=lambda one: (one.healthy, one.kind, one.name))
        rows: Iterable[tuple[Any, ...]] = (
            (
                (t.of("kind", one.kind), one.name),
                ("good" if one.healthy else "bad", one.state or t("fleet.well")),
                " – ".join(filter(None, (one.error, one.hint))),  # noqa: RUF001
            )
            for one in parts[:200]
        )
        self._parts.clear()
        with self._parts:
            if not parts:
                ui.label(t("box.no_parts")).classes("fb-muted")
            for (kind, name), (tone, state), said in rows:
                with ui.element("div").classes("fb-part"):
                    ui.label(kind).classes("fb-muted")
                    ui.label(name).classes("fb-strong")
                    pill(state, tone)
                    ui.label(said).classes("fb-muted")

    def _draw_events(self) -> None:
        t = self._view.t
        self._events_card.set_visibility(bool(self._happened))
        head = [t(f"event.{name}") for name in ("time", "device", "source", "message", "severity")]
        rows = [
            (
                *(moments.stamp(one.time_ns), one.device, one.source),
                *(_said(t, one), "" if one.severity < 0 else str(one.severity)),
            )
            for one in self._happened
        ]
        plain_table(self._events, head, rows)

    def _draw_account(self) -> None:
        t = self._view.t
        head = ("stream", "mark", "records", "samples", "gapped", "refused", "open", "bytes")
        rows = [
            (one.stream, one.mark, *(f"{number:,}" for number in one[2:7]), _size(one.bytes))
            for one in self._stored.streams
        ]
        plain_table(self._account, [t(f"account_of.{name}") for name in head], rows)


def _said(t: Words, one: happenings.Event) -> str:
    """Give an event's text; of an alarm, whether it begins or is over."""
    if one.active is None:
        return one.message
    return f"{t('event.active' if one.active else 'event.over')}: {one.message}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.1f} MiB"
