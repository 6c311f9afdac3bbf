"""Small things that several pages are made of: cards, pills, lists of facts, plain tables."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from nicegui import ui

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@contextmanager
def card(title: str = "") -> Iterator[ui.element]:
    """Draw a card; the block fills it."""
    with ui.element("section").classes("fb-card") as element:
        if title:
            ui.label(title).classes("fb-card-title").props("role=heading aria-level=3")
        yield element


def pill(text: str, tone: str) -> ui.label:
    """Draw a word with a colour: good, warn, bad or idle."""
    return ui.label(text).classes(f"fb-pill fb-{tone}")


def facts_list(into: ui.element, rows: Iterable[tuple[str, str]]) -> None:
    """Draw what is known as names and values, in place of what was there."""
    into.clear()
    with into, ui.element("dl").classes("fb-facts"):
        for name, value in rows:
            for tag, text in (("dt", name), ("dd", value)):
                with ui.element(tag):
                    ui.label(text)


def plain_table(into: ui.element, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Draw a small table of texts, the first column to the left, in place of what was there."""
    into.clear()
    with into, ui.element("table").classes("fb-table"):
        with ui.element("thead"), ui.element("tr"):
            for text in head:
                with ui.element("th"):
                    ui.label(text)
        with ui.element("tbody"):
            for row in rows:
                with ui.element("tr"):
                    for text in row:
                        with ui.element("td"):
                            ui.label(text)
