"""The commands that documents show, and those that a test has typed.

`@pytest.mark.follows("docs/guides/fleet.md")` says that a test types all that a page shows; it
fails where it did not (e2e/conftest.py). What runs without pytest calls `followed` at its end.
tests/test_shown_commands.py holds the pages to these claims, and to `UNTYPED`.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[2]
SHELLS = "console|sh|bash|shell"
UNTYPED = {
    "README.md": {". .venv/bin/activate": "the tests run what lies there"},
    "docs/guides/install.md": {
        "make ": "before the story of the package: `make package-test` begins with both",
        "forebay init --from tags.csv --host": "the story has a simulated device, with no host",
    },
    "docs/guides/scale-out.md": {
        "packaging/secrets": "tests/unit/packaging runs it and holds its files to the manifests",
        "docker ": "needs a registry of images; the file is held to the program by a test",
        "kubectl ": "needs a cluster; its names are held to the manifests by a test",
        "cd ": "moves between the lines above",
    },
    "docs/internals/testing.md": {
        "PYTHONPATH=tests ": "what `make` runs, from a seed of one's own",
        "SIM_FIRST=": "`make test`, from a seed of one's own",
        "make images ": "hours; tests/unit/drivers/modbus/test_images.py is its short form",
        "make fuzz-drivers ": "as long as one likes; tests/fuzzing is its short form",
        "make powercut ": "needs QEMU and its images; by hand",
    },
}
"""Beginnings of commands that nobody types, page by page, and why."""
typed: list[str] = []
"""What was typed since the test began."""


def note(words: Iterable[object]) -> None:
    """Keep what a test types."""
    typed.append(" ".join(map(str, words)))


def commands(text: str) -> list[str]:
    """Give what a document has a reader type, of a person and of root, without its remarks.

    A block without any prompt is commands alone.
    """
    found = list[str]()
    for block in re.findall(rf"^```(?:{SHELLS})\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        lines = re.sub(r"\\\n\s*", "", block).splitlines()
        prompted = [line[2:] for line in lines if line.startswith(("$ ", "# "))]
        found += [re.sub(r"\s{2,}# .*", "", line) for line in prompted or lines if line.strip()]
    return found


def words(line: str) -> set[str]:
    """Give what a command is made of, without what a test may have otherwise.

    Names of files, addresses, figures and placeholders are the test's own; so are values of the
    environment before it. Programs, commands, options and the last part of an address are not.
    """
    parts = [part for part in line.split() if not re.match(r"[A-Z_]+=", part)]
    found = {Path(parts[0]).name} if parts else set()
    for before, part in pairwise(parts):
        plain = part.partition("=")[0].removesuffix(".service")
        if "://" in part and (last := re.search(r"/([a-z]+)(?:\?|\"?$)", part)):
            found.add(last[1])
        elif before == "-m" or re.fullmatch(r"-{0,2}[a-z][A-Za-z-]*|-[A-Z]", plain):
            found.add(plain)
    return found


@cache
def steps() -> set[str]:
    """Give what CI makes."""
    text = (ROOT / ".ci/run").read_text("utf-8")
    return set(re.findall(r"^(?: *step .*|.*\{ .*)\bmake ([a-z-]+)", text, re.MULTILINE))


def reason(page: str, line: str) -> str:
    """Give why nobody needs to type a command; empty if somebody must."""
    if line.startswith("export "):
        return "says what the lines below it take"
    if (made := re.match(r"make ([a-z-]+)", line)) and made[1] in steps():
        return "a step of CI"
    found = [why for begin, why in UNTYPED.get(page, {}).items() if line.startswith(begin)]
    return found[0] if found else ""


def followed(page: str) -> None:
    """Fail if a page shows a command that was not typed."""
    said = [words(line) for line in typed]
    lines = commands((ROOT / page).read_text("utf-8"))
    missing = [
        line
        for line in lines
        if not reason(page, line) and not any(words(line) <= one for one in said)
    ]
    assert lines, f"{page} shows no command"
    assert not missing, f"{page} shows what was not typed: {missing}"
