"""The fleet server's page, which the demo offers where it is installed.

Owns where it is and who may sign in. Must not import what it starts.
"""

from __future__ import annotations

import secrets
from importlib.util import find_spec
from typing import NamedTuple

USER, LIBRARY = "demo", "nicegui"


class Page(NamedTuple):
    """An address, and the password of USER there."""

    listen: str
    password: str

    def said(self) -> str:
        """Give what a person needs to look at it."""
        return (
            f"page  https://{self.listen}  name {USER}, password {self.password}\n"
            "      (its certificate is of an authority of this demo alone: the browser asks)"
        )


def offered(port: int) -> Page | None:
    """Give the page on a port of this machine; None where its library is missing."""
    if find_spec(LIBRARY) is None:
        return None
    return Page(f"127.0.0.1:{port}", secrets.token_urlsafe(12))
