"""How somebody wants to see the page: language, light or dark; kept in two cookies.

Owns those cookies and the route that sets them. Must not know pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import RedirectResponse

from forebay_fleet.web.words import LANGUAGES, chosen

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import HTTPConnection

THEMES = ("auto", "light", "dark")
"""As the browser has it, or as somebody chose."""
COOKIES = {"language": "forebay_language", "theme": "forebay_theme"}
KEPT_S = 366 * 86_400
PATH = "/preferences"


class Preferences(NamedTuple):
    """A language of LANGUAGES, a theme of THEMES."""

    language: str
    theme: str

    @property
    def dark(self) -> bool | None:
        """Whether it is dark; None: as the browser has it."""
        return {"light": False, "dark": True}.get(self.theme)


def of(connection: HTTPConnection) -> Preferences:
    """Give those of who asks."""
    accepted = connection.headers.get("accept-language", "")
    theme = connection.cookies.get(COOKIES["theme"], "")
    return Preferences(
        chosen(connection.cookies.get(COOKIES["language"], ""), accepted),
        theme if theme in THEMES else "auto",
    )


def local(path: str) -> str:
    """Give `path` if it is one of this site, else its first page: nobody is sent elsewhere."""
    sound = path.startswith("/") and path.isprintable() and len(path) < 1000
    return path if sound and not path.startswith(("//", "/\\")) and "\\" not in path else "/"


def add_to(app: FastAPI) -> None:
    """Add the route that sets them: a link, for strangers too."""

    @app.get(PATH, include_in_schema=False)
    async def prefer(language: str = "", theme: str = "", back: str = "/") -> RedirectResponse:
        """Keep what is known of it, and go back."""
        answer = RedirectResponse(local(back), 303)
        known = {"language": language if language in LANGUAGES else ""}
        known["theme"] = theme if theme in THEMES else ""
        for name, value in known.items():
            if value:
                answer.set_cookie(
                    COOKIES[name], value, max_age=KEPT_S, httponly=True, samesite="strict"
                )
        return answer
