"""docs/reference/cli.md names every command and option that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from typer.main import get_command

from forebay.cli.main import COMMANDS, build

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md"
SHARED = {"--json", "--socket", "--help"}


def offered() -> dict[str, set[str]]:
    """Every command, as it is typed, with the options of its own."""
    found: dict[str, set[str]] = {}

    def walk(command: Any, name: str) -> None:
        inner = getattr(command, "commands", None)
        if inner is not None:
            for part, below in inner.items():
                walk(below, f"{name} {part}")
            return
        words = {word for option in command.params for word in option.opts if word[:2] == "--"}
        found[name] = words - SHARED

    walk(get_command(build(COMMANDS)), "forebay")
    return found


def documented() -> dict[str, set[str]]:
    """Every command with a section, and the options in the first column of its tables."""
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = {}
    for section in sections:
        title = section.splitlines()[0]
        if named := re.fullmatch(r"`(forebay(?: [a-z]+)+)[^`]*`", title):
            found[named[1]] = set(re.findall(r"^\| `(--[a-z]+)`", section, re.MULTILINE)) - SHARED
    return found


def test_the_page_says_what_there_is() -> None:
    assert documented() == offered()


def test_shared_options_are_explained_once() -> None:
    shared = (
        PAGE.read_text(encoding="utf-8").split("## What all commands share")[1].split("\n## ")[0]
    )
    assert set(re.findall(r"^\| `(--[a-z]+)`", shared, re.MULTILINE)) == SHARED


def test_every_command_takes_json() -> None:
    for name in COMMANDS.keys() - {"demo"}:
        command = get_command(build([name]))
        leaves = [command]
        while leaves:
            leaf: Any = leaves.pop()
            if inner := getattr(leaf, "commands", None):
                leaves += inner.values()
            else:
                assert "--json" in {word for option in leaf.params for word in option.opts}, name
