"""What is around every page: head, navigation, who looks; and the rules that each page keeps.

Owns the registration of pages with NiceGUI. Must not know what any of them shows.

A page is a function of a module in `pages/`:

    def add_to(site: Site) -> None:
        @site.page("/things/{name}", "things.title", link=Link("things.title", "dns", 20))
        async def things(view: View, name: str) -> None:
            ui.label(view.t("things.count", count=3))
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from nicegui import ui
from starlette.requests import Request
from starlette.responses import RedirectResponse

from forebay_fleet.access import http
from forebay_fleet.access.http import SIGN_IN, Denied
from forebay_fleet.access.roles import Principal, Role
from forebay_fleet.artifacts.published import Published
from forebay_fleet.errors import FleetError, UsageError
from forebay_fleet.web import around, preferences
from forebay_fleet.web.roster import Roster
from forebay_fleet.web.words import QUASAR, Words

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI

    from forebay_fleet.http.context import Context
    from forebay_fleet.registry import Registry

T = TypeVar("T")

STILL_S = 5.0
"""How soon an open page ends whose session has ended."""
BUILD_S = 30.0
"""How long a page may take to be made on a machine that is busy."""
NOTICE_MS = 8000


class Link(NamedTuple):
    """An entry of the navigation: its text's key, its icon (Material), its place, whom it shows."""

    text: str
    icon: str
    order: int
    path: str = ""
    role: Role = Role.VIEWER


@dataclass(frozen=True, slots=True)
class View:
    """One look at one page: who looks, how, at what."""

    context: Context
    roster: Roster
    request: Request
    who: Principal
    t: Words
    theme: str
    path: str

    @property
    def published(self) -> Published:
        """What artifacts this server gives."""
        return self.context.published or Published(self.context.data)

    async def reading(self, work: Callable[[Registry], T]) -> T:
        """Ask the registry. Raises StoreFailed."""
        return await self.context.registry(work)

    async def allowed(self, role: Role) -> Principal:
        """Ask anew who it is: the page may be open for hours. Raises Denied."""
        return await http.allowed(self.request, self.context.registry, role)

    def does(
        self, role: Role, work: Callable[[Principal], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        """Give a handler of an event: `work` with who may do what needs `role`.

        What is refused is told on the page, with the next step.
        """

        async def handle() -> None:
            try:
                await work(await self.allowed(role))
            except Denied as denied:
                if denied.status == 401:
                    ui.navigate.to(SIGN_IN)
                else:
                    self.refuse(self.t("denied.text", role=self.t(f"role.{role.word}")))
            except FleetError as error:
                self.refuse(str(error), error.hint)

        return handle

    def tell(self, text: str) -> None:
        """Say that something was done."""
        ui.notify(text, type="positive", position="bottom", timeout=NOTICE_MS)

    def refuse(self, text: str, hint: str = "") -> None:
        """Say that something was not done, and the next step."""
        ui.notify(
            *(text,),
            type="negative",
            position="bottom",
            timeout=NOTICE_MS,
            caption=hint,
        )

    async def asked_why(self, title: str, confirm: str) -> str | None:
        """Ask for the reason of a change; None: somebody thought better of it."""
        with ui.dialog() as dialog, ui.card().classes("fb-dialog"):
            ui.label(title).classes("fb-dialog-title")
            reason = ui.input(self.t("why.label")).props("outlined autofocus maxlength=500")
            reason.on("keydown.enter", lambda: dialog.submit(reason.value))
            with ui.row().classes("fb-actions"):
                ui.button(self.t("why.cancel"), on_click=lambda: dialog.submit(None)).props("flat")
                ui.button(confirm, on_click=lambda: dialog.submit(reason.value))
        found = await dialog
        dialog.delete()
        return None if found is None else str(found)


class Site:
    """All pages of one server."""

    def __init__(self, context: Context) -> None:
        """Begin without any."""
        self.context = context
        self.roster = Roster(context)
        self._links: list[Link] = []

    def page(
        self, path: str, title: str, *, link: Link | None = None, role: Role = Role.VIEWER
    ) -> Callable[[Callable[..., Awaitable[None]]], None]:
        """Register a page for those who have `role`; `title` is a key of the catalogues.

        Parameters of the function behind the view are those of the path and the query, texts all.
        """
        if link is not None:
            self._links.append(link._replace(path=path, role=role))

        def register(build: Callable[..., Awaitable[None]]) -> None:
            async def shown(request: Request, **given: str) -> None:
                view = self._view(request)
                _prepare_document(view, title)
                with around.frame(view, title, self._links_for(view.who)):
                    await _fill(view, role, lambda: build(view, **given))
                ui.timer(STILL_S, lambda: _still(view))

            shown.__signature__ = _signature(build)  # type: ignore[attr-defined]
            ui.page(path, response_timeout=BUILD_S)(shown)

        return register

    def add_first(self, app: FastAPI) -> None:
        """See that `/` leads to the first page, if none is there."""
        first = min(self._links, key=lambda link: link.order)
        if first.path == "/":
            return

        @app.get("/", include_in_schema=False)
        async def home() -> RedirectResponse:
            """Lead to the first page."""
            return RedirectResponse(first.path, 303)

    def _view(self, request: Request) -> View:
        wishes = preferences.of(request)
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        words = Words(wishes.language)
        return View(
            *(
                self.context,
                self.roster,
                request,
                http.principal(request),
                words,
                wishes.theme,
                path,
            ),
        )

    def _links_for(self, who: Principal) -> list[Link]:
        return sorted((one for one in self._links if who.may(one.role)), key=lambda one: one.order)


def _prepare_document(view: View, title: str) -> None:
    """Have the document in the language and the theme of who looks: NiceGUI has them of a page."""
    client = ui.context.client
    client.page = copy.copy(client.page)
    client.page.language = QUASAR[view.t.language]
    client.page.dark = {"light": False, "dark": True}.get(view.theme)
    client.page.title = f"{view.t(title)} · Forebay"
    ui.add_head_html('<link rel="stylesheet" href="/static/site.css">')


async def _fill(view: View, role: Role, build: Callable[[], Awaitable[None]]) -> None:
    """Build what the page shows, or say why not."""
    client = ui.context.client
    if not view.who.may(role):
        client.status_code = 403
        around.notice(
            view.t("denied.title"), view.t("denied.text", role=view.t(f"role.{role.word}"))
        )
        return
    try:
        await build()
    except FleetError as error:
        client.status_code = 404 if isinstance(error, UsageError) else 503
        around.notice(str(error), error.hint)


async def _still(view: View) -> None:
    """End the page if who looks may not any more: what it shows is not sent on."""
    who = await http.still(view.request, view.context.registry)
    if who is not None and who.role == view.who.role:
        return
    client = ui.context.client
    client.run_javascript(f"location.assign({SIGN_IN!r})")
    client.content.clear()


def _signature(build: Callable[..., Any]) -> inspect.Signature:
    """Give the parameters of a page as FastAPI wants them."""
    given = list(inspect.signature(build).parameters.values())[1:]
    request = inspect.Parameter(
        "request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request
    )
    return inspect.Signature([request, *(one.replace(annotation=str) for one in given)])
