"""The fleet at a glance: a table that the server pages, for ten thousand boxes.

Owns that page. Must not know where a row comes from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nicegui import ui

from forebay_fleet.errors import FleetError
from forebay_fleet.web import moments
from forebay_fleet.web.frame import Link
from forebay_fleet.web.roster import KINDS, Standing, Wish

if TYPE_CHECKING:
    from nicegui.events import GenericEventArguments

    from forebay_fleet.web.frame import Site, View
    from forebay_fleet.web.words import Words

REFRESH_S = 2.0
COLUMNS = ("name", "state", "health", "buffer", "full", "version", "phase", "seen")
SIZES = [25, 50, 100, 200]
TONES = {"online": "good", "locked": "bad", "revoked": "bad"}
PHASES = {"committed": "good", "rolled_back": "bad", "failed": "bad", "superseded": "idle"}
CELLS = {
    "name": """<q-td :props="props"><a class="fb-strong" :href="'/gateways/' + props.row.name">
      {{ props.row.name }}</a><span v-for="label in props.row.labels" :key="label"
      class="fb-label">{{ label }}</span></q-td>""",
    "state": """<q-td :props="props"><span :class="'fb-pill fb-' + props.row.state_tone">
      {{ props.row.state }}</span></q-td>""",
    "health": """<q-td :props="props"><span v-if="props.row.health"
      :class="'fb-pill fb-' + props.row.health_tone">{{ props.row.health }}</span></q-td>""",
    "phase": """<q-td :props="props"><span v-if="props.row.phase"
      :class="'fb-pill fb-' + props.row.phase_tone">{{ props.row.phase }}</span></q-td>""",
}


def add_to(site: Site) -> None:
    """Add the page."""

    @site.page("/gateways", "fleet.title", link=Link("fleet.title", "dns", 10))
    async def fleet(view: View, find: str = "", kind: str = "all") -> None:
        page = _Page(view, Wish(find[:100], kind if kind in KINDS else "all"))
        page.draw()
        await page.refresh()
        ui.timer(REFRESH_S, page.refresh, immediate=False)


class _Page:
    """One look at the list: what is wished for, and what is shown of it."""

    def __init__(self, view: View, wish: Wish) -> None:
        self._view, self._wish = view, wish
        self._kinds: dict[str, ui.label] = {}
        self._cards: dict[str, ui.element] = {}

    def draw(self) -> None:
        """Draw the empty page."""
        t = self._view.t
        with ui.element("div").classes("fb-kinds").props("role=group"):
            for kind in KINDS:
                with ui.element("button").classes("fb-card fb-kind") as card:
                    self._kinds[kind] = ui.label("–").classes("fb-number")  # noqa: RUF001
                    ui.label(t(f"fleet.{kind}")).classes("fb-muted")
                card.on("click", lambda kind=kind: self._change(kind=kind, page=0))
                card.props["data-kind"] = kind
                self._cards[kind] = card
        with ui.element("section").classes("fb-card"):
            find = ui.input(placeholder=t("fleet.find"), value=self._wish.text)
            find.props("outlined dense clearable debounce=300 type=search")
            find.props["aria-label"] = t("fleet.find")
            find.classes("fb-find")
            find.on_value_change(lambda event: self._change(text=event.value or "", page=0))
            self._table = ui.table(
                columns=[_column(t, name) for name in COLUMNS],
                rows=[],
                row_key="name",
                pagination={
                    "page": 1,
                    "rowsPerPage": self._wish.size,
                    "sortBy": "name",
                    "rowsNumber": 0,
                },
            )
            self._table.props["rows-per-page-options"] = SIZES
            self._table.props["dense"] = True
            self._table.props["no-data-label"] = t("fleet.none")
            self._table.props["binary-state-sort"] = True
            for name, slot in CELLS.items():
                self._table.add_slot(f"body-cell-{name}", slot)
            self._table.on("request", self._requested)

    async def refresh(self) -> None:
        """Show how it is now; what has not changed is not sent."""
        try:
            found = await self._view.roster.find(self._wish)
        except FleetError as error:
            self._view.refuse(str(error), error.hint)
            return
        now_ns = self._view.context.now_ns()
        for kind, count in found.sums.items():
            self._kinds[kind].set_text(f"{count:,}")
            self._cards[kind].classes(
                **{"add" if kind == self._wish.kind else "remove": "fb-current"}
            )
        rows = [_row(self._view.t, one, now_ns) for one in found.rows]
        page = {
            "page": self._wish.page + 1,
            "rowsPerPage": self._wish.size,
            "sortBy": self._wish.order,
            "descending": self._wish.descending,
            "rowsNumber": found.total,
        }
        if rows != self._table.rows or page != self._table.pagination:
            self._table.pagination = page
            self._table.rows = rows

    async def _change(self, **changed: Any) -> None:  # noqa: ANN401 - fields of a wish
        self._wish = self._wish._replace(**changed)
        await self.refresh()

    async def _requested(self, event: GenericEventArguments) -> None:
        """Take what the table asks for when somebody turns a page or sorts."""
        asked = event.args["pagination"]
        size = int(asked["rowsPerPage"])
        await self._change(
            page=max(0, int(asked["page"]) - 1),
            size=size if size in SIZES else SIZES[0],
            order=str(asked["sortBy"] or "name"),
            descending=bool(asked["descending"]),
        )


def _column(t: Words, name: str) -> dict[str, Any]:
    right = name in {"buffer", "full"}
    return {
        "name": name,
        "label": t(f"fleet.column_{name}"),
        "field": name,
        "sortable": True,
        "align": "right" if right else "left",
    }


def _row(t: Words, one: Standing, now_ns: int) -> dict[str, Any]:
    """Give a row as the table has it: texts, and tones beside them."""
    online = one.state == "online"
    health = ""
    if one.seen_ns:
        health = t("fleet.well") if one.healthy and not one.ill else t("fleet.ill_parts", n=one.ill)
    return {
        "name": one.name,
        "labels": [f"{name}={value}" for name, value in sorted(one.labels.items())][:6],
        "state": t.of("state", one.state),
        "state_tone": TONES.get(one.state, "idle"),
        "health": health,
        "health_tone": "idle" if not online else "good" if one.healthy and not one.ill else "warn",
        "buffer": moments.span(t, round(one.buffer_s * 1e9)) if one.seen_ns else "",
        "full": moments.span(t, round(one.full_in_s * 1e9)) if one.full_in_s else "",
        "version": one.version,
        "phase": t.of("phase", one.phase) if one.phase else "",
        "phase_tone": PHASES.get(one.phase, "warn"),
        "seen": moments.ago(t, now_ns - one.seen_ns) if one.seen_ns else t("fleet.never"),
    }
