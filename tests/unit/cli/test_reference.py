"""docs/reference/cli.md names every command and option that there is, and no other."""

from __future__ import annotations

import re
import shlex
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.main import get_command
from typer.testing import CliRunner

from forebay.cli.demo import main as demo
from forebay.cli.examples import EXAMPLES
from forebay.cli.main import COMMANDS, build
from forebay_fleet.cli import app as fleet

if TYPE_CHECKING:
    import pytest

README = Path(__file__).resolve().parents[3] / "README.md"
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
            if not command.invoke_without_command or name == "forebay":
                return
        words = {word for option in command.params for word in option.opts if word[:2] == "--"}
        found[name] = words - SHARED

    walk(get_command(build(COMMANDS)), "forebay")
    found["forebay demo"] = demo_options()
    return found


def demo_options() -> set[str]:
    """The options of the demo, which reads its words by itself."""
    with redirect_stdout(StringIO()) as help_text, suppress(SystemExit):
        demo(["--help"])
    return set(re.findall(r"--[a-z]+", help_text.getvalue())) - SHARED


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


def leaves() -> dict[str, Any]:
    """Give every command by its words behind `forebay`."""
    found: dict[str, Any] = {}

    def walk(command: Any, name: str) -> None:
        inner = getattr(command, "commands", None)
        for part, below in (inner or {}).items():
            walk(below, f"{name} {part}".strip())
        if inner is None or (name and command.invoke_without_command):
            found[name] = command

    walk(get_command(build(COMMANDS)), "")
    return found


def test_every_command_has_an_example_that_it_understands() -> None:
    commands = leaves()
    assert EXAMPLES.keys() == commands.keys()
    for name, words in EXAMPLES.items():
        assert commands[name].epilog == f"Example: forebay {name} {words}".rstrip()
        if name != "demo":  # it reads its words by itself
            commands[name].make_context(name, shlex.split(words))


def test_a_shell_completes_commands_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    def completed(words: str) -> set[str]:
        monkeypatch.setenv("_FOREBAY_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
        return set(CliRunner().invoke(build(COMMANDS), prog_name="forebay").output.split())

    assert completed("forebay jou") == {"journal"}
    assert completed("forebay journal export --f") == {"--format", "--from"}


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


def test_the_readme_names_commands_that_exist_and_take_json_as_it_says() -> None:
    text = README.read_text(encoding="utf-8")
    programs: dict[str, Any] = {
        "forebay": get_command(build(COMMANDS)),
        "forebay-fleet": get_command(fleet),
    }
    named = []
    for row in re.findall(r"^\| (`forebay.*?) \|", text, re.MULTILINE):
        program = row[1:].split()[0]
        phrases = [phrase.removeprefix(program).split() for phrase in re.findall(r"`(.*?)`", row)]
        for words in phrases:
            leaf = programs[program].commands[words[0]]
            for word in words[1:] if hasattr(leaf, "commands") else ():
                leaf = leaf.commands[word]
            named.append(f"{program} {words[0]}")
            options = {word for option in leaf.params for word in option.opts}
            exempt = named[-1] in {"forebay-fleet serve", "forebay-fleet ca"}
            assert exempt != ("--json" in options), named[-1]
    assert "All but `forebay-fleet serve` and `ca` take `--json`" in text
    assert len(named) >= 15
