"""The frame itself: head, navigation, menus; and notices.

Owns how they look. Must not know who may see what.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from nicegui import ui

from forebay_fleet.web.preferences import PATH, THEMES
from forebay_fleet.web.words import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forebay_fleet.web.frame import Link, View

ICONS = {"auto": "brightness_auto", "light": "light_mode", "dark": "dark_mode"}
LEAVE = "fetch('/sign-out', {method: 'POST'}).then(() => location.assign('/sign-in'))"
NARROW_PX = 1000
"""Below this width the navigation is behind a button."""


@contextmanager
def frame(view: View, title: str, links: Sequence[Link]) -> Iterator[None]:
    """Draw what is around a page; the block fills it."""
    with ui.left_drawer(value=False, top_corner=True, bordered=True) as drawer:
        drawer.classes("fb-nav").props(f"show-if-above width=216 breakpoint={NARROW_PX}")
        with ui.element("div").classes("fb-brand"):
            ui.html('<img src="/static/mark.svg" alt="" width="28" height="28">', sanitize=False)
            ui.label("Forebay")
        with ui.element("nav"):
            for link in links:
                _entry(view, link)
    with ui.header().classes("fb-head"):
        _button("menu", view.t("nav.label")).classes("fb-narrow").on_click(drawer.toggle)
        ui.label(view.t(title)).classes("fb-title").props("role=heading aria-level=1")
        ui.space()
        _themes(view)
        _languages(view)
        _person(view)
    with ui.element("div").classes("fb-page"):
        yield


def notice(title: str, text: str) -> None:
    """Say why there is nothing to see, and the next step."""
    with ui.element("div").classes("fb-card fb-notice").props("role=alert"):
        ui.label(title).classes("fb-notice-title")
        ui.label(text).classes("fb-muted")


def _entry(view: View, link: Link) -> None:
    here = view.request.url.path
    current = here == link.path or (link.path != "/" and here.startswith(f"{link.path}/"))
    with ui.link(target=link.path).classes("fb-link") as entry:
        ui.icon(link.icon)
        ui.label(view.t(link.text))
    if current:
        entry.classes("fb-current").props("aria-current=page")


def _preference(view: View, **chosen: str) -> str:
    return f"{PATH}?{urlencode(chosen | {'back': view.path})}"


def _themes(view: View) -> None:
    label = view.t("theme.label")
    with _button(ICONS[view.theme], label), ui.menu():
        for theme in THEMES:
            _item(view.t(f"theme.{theme}"), _preference(view, theme=theme), ICONS[theme])


def _languages(view: View) -> None:
    with _button("translate", view.t("language.label")), ui.menu():
        for code, own in LANGUAGES.items():
            _item(own, _preference(view, language=code))


def _person(view: View) -> None:
    with _button("account_circle", view.who.name), ui.menu():
        with ui.element("div").classes("fb-person"):
            ui.label(view.who.name).classes("fb-strong")
            ui.label(view.t(f"role.{view.who.role.word}")).classes("fb-muted")
        ui.separator()
        _item(view.t("account.title"), "/account", "manage_accounts")
        leave = ui.menu_item(view.t("sign_in.leave"))
        leave.on("click", js_handler=f"() => {LEAVE}")


def _item(text: str, path: str, icon: str = "") -> None:
    """Add an entry of a menu that is a link."""
    with ui.menu_item().classes("fb-item") as item:
        item.props["href"] = path
        if icon:
            ui.icon(icon)
        ui.label(text)


def _button(icon: str, label: str) -> ui.button:
    button = ui.button(icon=icon, color=None).props("flat round dense")
    button.props["aria-label"] = label
    return button
