"""Who may use this page, and which programs may ask REST: users and tokens, for admins.

Owns these two pages. Must not know how either is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nicegui import ui

from forebay_fleet.access import apitokens, users
from forebay_fleet.access.roles import Role
from forebay_fleet.errors import UsageError
from forebay_fleet.web import moments
from forebay_fleet.web.frame import Link
from forebay_fleet.web.pieces import card, pill

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay_fleet.access.apitokens import TokenRow
    from forebay_fleet.access.roles import Principal
    from forebay_fleet.access.users import UserRow
    from forebay_fleet.registry import Registry
    from forebay_fleet.web.frame import Site, View

DAYS = {"30": 30, "90": 90, "365": 365}
TONES = {"open": "good", "expired": "idle", "revoked": "bad"}
_DAY_S = 86_400.0


def add_to(site: Site) -> None:
    """Add the pages."""
    people = Link("users.title", "group", 60)
    programs = Link("tokens.title", "key", 70)

    @site.page("/users", "users.title", link=people, role=Role.ADMIN)
    async def everybody(view: View) -> None:
        _add_user(view)
        with card():
            for row in await view.reading(users.listed):
                _user(view, row)

    @site.page("/tokens", "tokens.title", link=programs, role=Role.ADMIN)
    async def tokens(view: View) -> None:
        _add_token(view)
        with card():
            rows = await view.reading(apitokens.listed)
            if not rows:
                ui.label(view.t("tokens.none")).classes("fb-muted")
            for row in rows:
                _token(view, row)


def _roles(view: View) -> dict[str, str]:
    return {role.word: view.t(f"role.{role.word}") for role in Role}


def _add_user(view: View) -> None:
    t = view.t
    with card(t("users.add")), ui.element("div").classes("fb-form"):
        name = ui.input(t("account.name")).props("outlined dense maxlength=64 autocomplete=off")
        secret = ui.input(t("sign_in.password"), password=True)
        secret.props("outlined dense maxlength=256 autocomplete=new-password")
        role = ui.select(_roles(view), value="viewer", label=t("account.role"))
        role.props("outlined dense")

        async def add(who: Principal) -> None:
            wanted = Role.parse(role.value)
            given = str(name.value or ""), wanted, str(secret.value or "")
            await view.reading(lambda registry: users.add(registry, who, *given, ""))
            ui.navigate.reload()

        ui.button(t("users.add"), on_click=view.does(Role.ADMIN, add))


def _user(view: View, row: UserRow) -> None:
    t = view.t
    with ui.element("div").classes("fb-person-row") as line:
        line.props["data-user"] = row.name
        ui.label(row.name).classes("fb-strong")
        state = "disabled" if row.disabled else "active"
        pill(t(f"users.{state}"), "bad" if row.disabled else "good")
        ui.label(t(f"via.{'password' if row.local else 'oidc'}")).classes("fb-muted")
        ui.label(moments.stamp(row.signed_in_ns)).classes("fb-muted")
        if row.local:
            _role_of(view, row)
        else:
            ui.label(t(f"role.{row.role.word}"))
        word = "enable" if row.disabled else "disable"

        def change(registry: Registry, who: Principal, why: str) -> None:
            users.set_disabled(registry, who, row.name, why, disabled=not row.disabled)

        asked = t(f"users.ask_{word}", name=row.name)
        ui.button(t(f"users.{word}"), on_click=_asking(view, asked, change)).props("flat dense")


def _role_of(view: View, row: UserRow) -> None:
    select = ui.select(_roles(view), value=row.role.word).props("outlined dense")
    select.props["aria-label"] = view.t("account.role")

    async def change(who: Principal) -> None:
        wanted = Role.parse(select.value)
        try:
            await view.reading(lambda registry: users.set_role(registry, who, row.name, wanted, ""))
        except UsageError:
            select.value = row.role.word
            raise
        view.tell(view.t("users.changed", name=row.name, role=view.t(f"role.{wanted.word}")))

    handle = view.does(Role.ADMIN, change)

    async def changed() -> None:
        if select.value != row.role.word:
            await handle()

    select.on_value_change(changed)


def _add_token(view: View) -> None:
    t = view.t
    with card(t("tokens.add")):
        with ui.element("div").classes("fb-form"):
            name = ui.input(t("tokens.name")).props("outlined dense maxlength=64")
            role = ui.select(_roles(view), value="viewer", label=t("account.role"))
            span = {days: t("moment.day", count=days) for days in DAYS}
            days = ui.select(span, value="90", label=t("tokens.for"))
            for one in (role, days):
                one.props("outlined dense")
            button = ui.button(t("tokens.add"))
        shown = ui.element("div").classes("fb-once")

    async def add(who: Principal) -> None:
        wanted, now_ns = Role.parse(role.value), view.context.now_ns()
        given: Any = (str(name.value or ""), wanted, DAYS[days.value] * _DAY_S, now_ns, "")
        text, _ = await view.reading(lambda registry: apitokens.create(registry, who, *given))
        shown.clear()
        with shown:
            ui.label(t("tokens.once")).classes("fb-muted")
            ui.label(text).classes("fb-secret")

    button.on_click(view.does(Role.ADMIN, add))


def _token(view: View, row: TokenRow) -> None:
    t, now_ns = view.t, view.context.now_ns()
    state = row.state(now_ns)
    with ui.element("div").classes("fb-person-row") as line:
        line.props["data-token"] = row.id
        ui.label(row.name).classes("fb-strong")
        pill(t(f"tokens.{state}"), TONES[state])
        ui.label(t(f"role.{row.role.word}"))
        ui.label(t("tokens.until", at=moments.stamp(row.ends_ns))).classes("fb-muted")
        ui.label(t("tokens.used", at=moments.stamp(row.used_ns))).classes("fb-muted")

        def revoke(registry: Registry, who: Principal, why: str) -> None:
            apitokens.revoke(registry, who, row.id, view.context.now_ns(), why)

        if state == "open":
            asked = t("tokens.ask_revoke", name=row.name)
            ui.button(t("tokens.revoke"), on_click=_asking(view, asked, revoke)).props("flat dense")


def _asking(
    view: View, title: str, change: Callable[[Registry, Principal, str], None]
) -> Callable[[], Any]:
    """Give a handler that asks why, changes, and shows the page anew."""

    async def work(who: Principal) -> None:
        why = await view.asked_why(title, view.t("why.confirm"))
        if why is not None:
            await view.reading(lambda registry: change(registry, who, why))
            ui.navigate.reload()

    return view.does(Role.ADMIN, work)
