"""`forebay top`: the whole gateway on one screen, in a terminal or in a browser on this machine.

Owns the arguments. Must not know what is on the screen.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from forebay.cli import call, output
from forebay.errors import RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from pathlib import Path

LISTEN = "127.0.0.1:8023"
LEAST_S, MOST_S = 0.5, 60.0
"""How often the agent may be asked: more often shows nothing more and takes its time."""

Every = Annotated[
    float, typer.Option("--every", min=LEAST_S, max=MOST_S, help="Seconds between two pictures.")
]
Look = Annotated[bool, typer.Option("--look", help="Only look: nothing can be restarted.")]
Web = Annotated[bool, typer.Option("--web", help="Show it in a browser instead; --look is set.")]
Listen = Annotated[
    str, typer.Option("--listen", help="With --web: IP:PORT, the IP one of loopback.")
]
Anywhere = Annotated[
    bool, typer.Option("--anywhere", help="With --web: take any IP. Nobody has to sign in.")
]


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`."""
    app.command(name)(top)


def top(
    socket: call.Socket = call.SOCKET,
    *,
    every: Every = 1.0,
    look: Look = False,
    web: Web = False,
    listen: Listen = LISTEN,
    anywhere: Anywhere = False,
    as_json: call.Json = False,
) -> None:
    """Watch the whole gateway on one screen. With --json, print once what it is made of."""
    with call.reporting(as_json=as_json):
        if as_json:
            _once(socket)
            return
        if find_spec("textual") is None or (web and find_spec("textual_serve") is None):
            raise RequestFailed(
                "the screen needs libraries that are not installed",
                hint="`pip install 'forebay[top]'`; `forebay status --watch` needs none",
            )
        if web:
            from forebay.cli.top.web import serve

            serve(socket.absolute(), every, listen, anywhere=anywhere)
            return
        if listen != LISTEN or anywhere:
            raise RequestInvalid("--listen and --anywhere go with --web", hint="add --web")
        terminal = sys.stdin.isatty() and sys.stdout.isatty()
        if not terminal and "TEXTUAL_DRIVER" not in os.environ:  # which --web sets
            hint = "`forebay status --watch` needs none; --json prints what it is made of"
            raise RequestFailed("the screen needs a terminal", hint=hint)
        from forebay.cli.top.screen import Top

        Top(socket.absolute(), every_s=every, only_look=look).run()


def _once(socket: Path) -> None:
    with call.agent(socket, as_json=True) as agent:
        output.document(
            {
                "status": output.plain(agent.status()),
                "devices": output.plain(agent.devices())["devices"],
                "uplinks": output.plain(agent.uplinks())["uplinks"],
                "plugins": output.plain(agent.plugins())["plugins"],
                "journal": output.plain(agent.journal_status()),
            }
        )
