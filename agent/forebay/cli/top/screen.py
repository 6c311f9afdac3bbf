"""The screen of `forebay top`: six views of one table, what is wrong above it, keys below it.

Owns widgets and keys. Must not know what an answer means: `sheets` has made text of it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import App
from textual.containers import Vertical
from textual.coordinate import Coordinate
from textual.widgets import DataTable, Footer, Input, Static, Tab, Tabs

from forebay.cli import output
from forebay.cli.top.asker import VIEWS, Asker
from forebay.clock import SystemClock

if TYPE_CHECKING:
    from pathlib import Path

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from forebay._proto import control_pb2 as pb
    from forebay.cli.top.asker import Picture
    from forebay.cli.top.sheets import Row, Sheet
    from forebay.clock import Clock

PROBLEMS = 3
"""How many problems stand above the table; the rest is counted."""
LOW = 32
"""Lines of a terminal below which each problem has one: the rest of it is in `forebay status`."""


class Top(App[None]):
    """Shows the agent on `socket`, asked anew every `every_s` seconds."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "forebay top"
    CSS = """
    Screen { background: $background; }
    #head { height: auto; padding: 0 1; }
    #head.low { text-wrap: nowrap; text-overflow: ellipsis; }
    #head.gone { background: $error; color: $text; }
    #tabs { height: 2; }
    #search { display: none; height: 1; border: none; padding: 0 1; }
    #search.shown { display: block; }
    #table { height: 1fr; background: $background; }
    #detail { height: 3; padding: 0 1; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "Quit"),
        ("slash", "search", "Search"),
        ("a", "acknowledge", "Ack"),
        ("p", "pause", "Pause"),
        ("r", "restart", "Restart"),
        ("escape", "all_tags", ""),
        *((str(at), f"view('{view}')", "") for at, view in enumerate(VIEWS, 1)),
    ]

    def __init__(
        self, socket: Path, *, every_s: float, only_look: bool = False, clock: Clock | None = None
    ) -> None:
        super().__init__()
        self.animation_level = "none"  # each step of one is bytes over ssh
        self._asker = Asker(socket, clock or SystemClock())
        self._every_s = every_s
        self._only_look = only_look
        self._view, self._pattern = VIEWS[0], ""
        self._paused = self._asking = False
        self.shows = ""
        """The view that is on the screen; another may have been asked for."""
        self._known: frozenset[str] = frozenset()
        self._problems: frozenset[str] = frozenset()
        self._sheet: Sheet | None = None
        self._sure = ""  # the part that a second `r` restarts
        self._told = ""  # what became of it

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield Static(id="head")
        yield Tabs(
            *(Tab(f"{at} {view.title()}", id=view) for at, view in enumerate(VIEWS, 1)), id="tabs"
        )
        with Vertical():
            yield Input(id="search", placeholder="part of DEVICE/TAG, or a pattern with *")
            yield DataTable[Text](id="table", cursor_type="row", cell_padding=1)
        yield Static(id="detail")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to ask."""
        self._table.focus()
        self.set_interval(self._every_s, self._ask)
        self._ask()

    def on_unmount(self) -> None:
        """Hang up."""
        self._asker.close()

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one("#table", DataTable)

    def _ask(self) -> None:
        """Ask for a picture, unless the one before has not come yet."""
        if not (self._paused or self._asking):
            self._asking = True
            self.run_worker(self._fetch(), name="forebay.top.ask")

    async def _fetch(self) -> None:
        picture = await asyncio.to_thread(self._asker.picture, self._view, self._pattern)
        if self.query("#head"):  # or the screen was left meanwhile
            self._show(picture)

    def _show(self, picture: Picture) -> None:
        self._asking = False
        head = self.query_one("#head", Static)
        head.set_class(bool(picture.gone), "gone")
        head.set_class(self.size.height < LOW and not picture.gone, "low")
        if picture.status is None or picture.sheet is None:
            head.update(Text(f"NO AGENT: {output.clean(picture.gone)}. Asking again."))
            return
        self._problems = frozenset(picture.status.problems)
        self._known &= self._problems
        head.update(self._head(picture.status))
        if picture.view == self._view:
            self._fill(picture.sheet)
            self.shows = picture.view

    def _head(self, status: pb.StatusReply) -> Text:
        said = Text.assemble(
            (output.clean(status.gateway), "bold"),
            f" {status.state}, up {output.duration(status.uptime_s)}  "
            f"{status.samples_per_s:,.0f} samples/s  "
            f"devices {status.devices_connected}/{status.devices}  "
            f"uplinks {status.uplinks_connected}/{status.uplinks}",
        )
        new = [one for one in status.problems if one not in self._known]
        for one in new[:PROBLEMS]:
            said.append(f"\n! {output.clean(one)}", output.BAD)
        if len(new) > PROBLEMS:
            said.append(f"\n! and {len(new) - PROBLEMS} more", output.BAD)
        if known := len(status.problems) - len(new):
            said.append(f"\n  {output.counted(known, 'problem')} acknowledged", output.QUIET)
        return said

    def _fill(self, sheet: Sheet) -> None:
        """Show a sheet; only what changed is drawn, and the cursor stays on its row."""
        table, before = self._table, self._sheet
        self._sheet = sheet
        same = before is not None and before.columns == sheet.columns
        keys = [row.key for row in sheet.rows]
        if before is None or not same or [row.key for row in before.rows] != keys:
            at, key = table.cursor_row, self._key(before, table.cursor_row)
            table.clear(columns=not same)
            if not same:
                table.add_columns(*(Text(title.lstrip(">")) for title in sheet.columns))
            for row in sheet.rows:
                table.add_row(*self._cells(sheet, row))
            table.move_cursor(row=keys.index(key) if same and key in keys else at if same else 0)
        else:
            for at, (old, new) in enumerate(zip(before.rows, sheet.rows, strict=True)):
                for column, cell in enumerate(self._cells(sheet, new)):
                    if old.cells[column] != new.cells[column] or old.ill != new.ill:
                        table.update_cell_at(Coordinate(at, column), cell, update_width=True)
        self._tell()

    @staticmethod
    def _key(sheet: Sheet | None, at: int) -> str:
        return sheet.rows[at].key if sheet is not None and 0 <= at < len(sheet.rows) else ""

    @staticmethod
    def _cells(sheet: Sheet, row: Row) -> list[Text]:
        return [
            Text(
                cell,
                output.BAD if row.ill and at < 2 else "",
                justify="right" if title.startswith(">") else "left",
            )
            for at, (title, cell) in enumerate(zip(sheet.columns, row.cells, strict=True))
        ]

    def _row(self) -> Row | None:
        at = self._table.cursor_row
        known = self._sheet is not None and 0 <= at < len(self._sheet.rows)
        return self._sheet.rows[at] if self._sheet is not None and known else None

    def _tell(self) -> None:
        """Say below the table what is known of the row under the cursor."""
        row, paused = self._row(), "PAUSED, `p` goes on. " if self._paused else ""
        if self._sure:
            said = f"Press r again to restart {self._sure}, or move on."
        elif self._told:
            said = self._told
        elif row is None:
            said = self._sheet.empty if self._sheet is not None else "asking"
        else:
            said = row.detail
        self.query_one("#detail", Static).update(Text(paused + said))

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        self._sure = self._told = ""
        self._tell()

    @on(Tabs.TabActivated)
    def _turned(self, event: Tabs.TabActivated) -> None:
        self._view = event.tab.id or VIEWS[0]
        self._sure = self._told = ""
        self.query_one("#search").set_class(self._view == "tags" and bool(self._pattern), "shown")
        self._ask()

    @on(Input.Submitted)
    def _searched(self, event: Input.Submitted) -> None:
        self._pattern = event.value.strip()
        self.query_one("#search").set_class(bool(self._pattern), "shown")
        self._table.focus()
        self._ask()

    def action_view(self, view: str) -> None:
        """Turn to another view."""
        self.query_one("#tabs", Tabs).active = view

    def action_search(self) -> None:
        """Ask which tags to show."""
        self.action_view("tags")
        search = self.query_one("#search", Input)
        search.set_class(True, "shown")  # noqa: FBT003 - Textual's own order
        search.focus()

    def action_all_tags(self) -> None:
        """End the search."""
        search = self.query_one("#search", Input)
        search.value = self._pattern = ""
        search.remove_class("shown")
        self._table.focus()
        self._ask()

    def action_acknowledge(self) -> None:
        """Take the problems of now for known: they are counted, until they go and come again."""
        self._known = self._problems
        self._ask()

    def action_pause(self) -> None:
        """Let the picture stand, or go on."""
        self._paused = not self._paused
        self._tell()
        self._ask()

    def action_restart(self) -> None:
        """Restart the part under the cursor, on the second press."""
        row = self._row()
        if self._only_look or row is None or not row.part:
            only = "this screen only looks"
            self._told = only if self._only_look else "nothing here can be restarted"
            self._tell()
        elif self._sure == row.part:
            self._sure = ""
            self.run_worker(self._restart(row.part), name="forebay.top.restart")
        else:
            self._sure, self._told = row.part, ""
            self._tell()

    async def _restart(self, part: str) -> None:
        said = await asyncio.to_thread(self._asker.restart, part)
        self._told = output.clean(said)
        if self.query("#detail"):
            self._tell()
