"""What the commands share: the options that all take, the agent to ask, the way to fail.

Owns the mapping from errors to exit codes. Must not know any command.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forebay.cli import output
from forebay.config import places
from forebay.control import address
from forebay.errors import (
    AgentUnreachable,
    ConfigError,
    ForebayError,
    JournalForeign,
    JournalMissing,
    RequestInvalid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay.control.client import AgentClient

EXIT_FAILURE = 1
EXIT_INVALID = 2
EXIT_UNREACHABLE = 3

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Watch = Annotated[bool, typer.Option("--watch", help="Show it anew each second.")]
Socket = Annotated[
    Path,
    typer.Option(
        "--socket",
        envvar="FOREBAY_SOCKET",
        readable=False,  # `address.check` says why it is not, and what to do
        help="The agent's control socket.",
    ),
]
Config = Annotated[
    Path,
    typer.Option(
        "--config", envvar="FOREBAY_CONFIG", readable=False, help="The configuration file."
    ),
]
SOCKET = places.SOCKET


@contextmanager
def agent(socket: Path, *, as_json: bool, instead: str = "") -> Iterator[AgentClient]:
    """Give a connection to the agent; what fails inside ends the command as `reporting` says.

    `instead` is what a person can do where there is no agent, beside what the hint says anyway.
    """
    with reporting(as_json=as_json):
        try:
            address.check(socket.absolute())  # before grpc is loaded: the answer is often no
        except AgentUnreachable as error:
            error.hint += f", or {instead}" if instead else ""
            raise
        from forebay.control.client import AgentClient

        with AgentClient(socket) as client:
            yield client


@contextmanager
def reporting(*, as_json: bool) -> Iterator[None]:
    """End the command when a ForebayError is raised inside.

    Standard error gets what is wrong and the next step, and with `as_json` standard output gets
    `{"error": {"message", "hint"}}`. The exit code is that of the error's type.
    """
    try:
        yield
    except ForebayError as error:
        fail(error, as_json=as_json)
        raise typer.Exit(exit_code(error)) from error


def fail(error: ForebayError, *, as_json: bool) -> None:
    """Say what is wrong and what to do next."""
    message, hint = output.clean(str(error)), output.lines(error.hint)
    print(f"forebay: {message}\n  next: {hint}", file=sys.stderr)
    if as_json:
        output.document({"error": {"message": str(error), "hint": error.hint}})


def exit_code(error: ForebayError) -> int:
    """Give the exit code that tells a script what kind of failure this is."""
    match error:
        case AgentUnreachable():
            return EXIT_UNREACHABLE
        case RequestInvalid() | ConfigError() | JournalMissing() | JournalForeign():
            return EXIT_INVALID
        case _:
            return EXIT_FAILURE
