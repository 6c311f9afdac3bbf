"""`forebay update`: which version of the agent runs, and going to another by hand.

Owns the arguments and what is printed. Works on `STATE/slots`, with an agent running or without;
what it changes counts from the next start on.
"""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from forebay import __version__
from forebay.cli import call, output
from forebay.cli.owner import become_owner
from forebay.config import places
from forebay.errors import RequestFailed, RequestInvalid
from forebay.files import SystemDisk
from forebay.launcher import book as slots_book
from forebay.launcher import whole

if TYPE_CHECKING:
    from forebay.launcher.book import Book, Slots

MIN_PROBATION_S, MAX_PROBATION_S = 5.0, 3600.0
RESTART = "it begins with the next start: systemctl restart forebay"
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def add(app: typer.Typer, name: str) -> None:
    """Add the commands to `app`."""
    text = "See which version of the agent runs, and go to another."
    group = typer.Typer(help=text, no_args_is_help=True)
    group.command("status")(status)
    group.command("apply")(apply)
    group.command("rollback")(rollback)
    app.add_typer(group, name=name)


def status(*, as_json: Json = False) -> None:
    """Show what runs, what is on trial, and what became of the last versions."""
    with call.reporting(as_json=as_json):
        slots = _slots()
        book = slots.read()
        told = {
            "installed": __version__,
            "current": _named(slots, book.current),
            "trial": _trial(slots, book),
            "ended": [
                {
                    "slot": one.slot,
                    "version": one.package.version,
                    "kept": one.kept,
                    "reason": one.reason,
                    "ended_ns": one.ended_ns,
                }
                for one in book.outcomes
            ],
        }
        if as_json:
            output.document(told)
            return
        output.show([Text(f"{'current':<11}{_said(told['current'])}")])
        if book.trial is not None:
            left = f"{book.trial.boots_left} starts left"
            output.show([Text(f"{'on trial':<11}{_said(told['trial'])}, {left}")])
        for one in reversed(book.outcomes):
            became = "kept" if one.kept else f"went back: {one.reason}"
            output.show([Text(f"{'ended':<11}{one.package.version}, {became}")])


def apply(
    archive: Annotated[Path, typer.Argument(readable=False, help="The agent package.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", help="A configuration that the new version must be able to load."),
    ] = None,
    probation: Annotated[
        str, typer.Option(help="How long it has to keep the data flowing.")
    ] = "10min",
    *,
    as_json: Json = False,
) -> None:
    """Put another version into the free slot; it begins on trial with the next start."""
    from forebay.management import filling
    from forebay.management.slots import other, stage

    with call.reporting(as_json=as_json):
        become_owner(places.state_directory(os.environ))
        slots = _slots()
        book = slots.read()
        if book.trial is not None:
            text = f"version {book.trial.package.version} is on trial"
            raise RequestFailed(text, hint="wait for its end, or `forebay update rollback`")
        try:
            package = slots_book.Package("", filling.digest(archive), f"by-hand-{os.getpid()}")
        except OSError as error:
            raise RequestInvalid(f"{archive}: {error.strerror}", hint="check the path") from error
        length_s = _probation_s(probation)
        trial = slots_book.Trial(other(book.current), book.current, package, length_s)
        version = stage(slots, trial, archive, config)
        if as_json:
            output.document({"version": version, "slot": trial.slot})
        else:
            output.show([Text(f"{version} is in slot {trial.slot}, on trial; {RESTART}")])


def _probation_s(text: str) -> float:
    from forebay.settings import parse_duration

    try:
        found = float(parse_duration(text))
    except (ValueError, TypeError):
        found = 0.0
    if not MIN_PROBATION_S <= found <= MAX_PROBATION_S:
        raise RequestInvalid(f"{text!r} is no probation", hint="write 10min; 5 s to 1 h")
    return found


def rollback(*, as_json: Json = False) -> None:
    """Give up what is on trial; else go back to the version before the one that runs."""
    from forebay.management.slots import alone

    with call.reporting(as_json=as_json):
        become_owner(places.state_directory(os.environ))
        slots = _slots()
        with alone(slots):
            book = slots.read()
            if book.trial is not None:
                after = book.give_up("a person went back")
            else:
                after = book.back(_before(slots, book), "a person went back")
            try:
                slots.write(after)
            except OSError as error:
                raise RequestFailed(str(error.strerror), hint="check the disk") from error
        told = _named(slots, after.current)
        if as_json:
            output.document(told)
        else:
            output.show([Text(f"{_said(told)}; {RESTART}")])


def _before(slots: Slots, book: Book) -> str:
    """Give where to go back to: the other slot if it proved itself once, else what is installed."""
    if book.current == slots_book.INSTALLED:
        raise RequestInvalid(
            "what runs is what was installed: there is nothing before it",
            hint="install another package, or apply another version",
        )
    found = "a" if book.current == "b" else "b"
    last = next((one for one in reversed(book.outcomes) if one.slot == found), None)
    # It may have been filled since with what never came to its trial.
    there = whole.archive(slots.folder / found)
    proved = last is not None and last.kept and last.package.archive == there
    try:
        whole.check(slots.folder / found)
    except whole.Damaged:
        proved = False
    return found if proved else slots_book.INSTALLED


def _trial(slots: Slots, book: Book) -> dict[str, object] | None:
    if book.trial is None:
        return None
    left = {"boots_left": book.trial.boots_left, "previous": book.trial.previous}
    return {**_named(slots, book.trial.slot), **left}


def _named(slots: Slots, slot: str) -> dict[str, object]:
    """Give slot, version and what is wrong with it."""
    if slot == slots_book.INSTALLED:
        return {"slot": "installed", "version": __version__, "fault": ""}
    try:
        return {"slot": slot, "version": whole.check(slots.folder / slot), "fault": ""}
    except whole.Damaged as error:
        return {"slot": slot, "version": "", "fault": str(error)}


def _said(told: object) -> str:
    assert isinstance(told, dict)
    if told["fault"]:
        return f"slot {told['slot']}: {told['fault']}"
    where = "as installed" if told["slot"] == "installed" else f"slot {told['slot']}"
    return f"{told['version']}, {where}"


def _slots() -> Slots:
    return slots_book.Slots(places.state_directory(os.environ) / slots_book.FOLDER, SystemDisk())
