"""Every link in the documents leads somewhere: to a file that is there, to a heading in it."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]


def documents() -> list[Path]:
    told = subprocess.run(
        ("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"),
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in told.stdout.splitlines() if (ROOT / name).is_file()]


@cache
def tokens(path: Path) -> list[tuple[str, str]]:
    """Give the headings of a document as `("heading", text)`, its links as `("link", target)`."""
    found = []
    parsed = MarkdownIt("commonmark").enable("table").parse(path.read_text("utf-8"))
    for before, token in zip([None, *parsed], parsed, strict=False):
        links = [one for one in token.children or () if one.type in {"link_open", "image"}]
        found += [("link", str(one.attrGet("href") or one.attrGet("src"))) for one in links]
        if before is not None and before.type == "heading_open":
            said = "".join(one.content for one in token.children or ())
            found.append(("heading", said))
    return found


def anchors(path: Path) -> set[str]:
    """Give what headings are called in links, as GitHub and MyST make it."""
    found: set[str] = set()
    for kind, text in tokens(path):
        if kind == "heading":
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            number = 1
            name = slug
            while name in found:
                name, number = f"{slug}-{number}", number + 1
            found.add(name)
    return found


def test_every_link_leads_somewhere() -> None:
    wrong = []
    for path in documents():
        for kind, target in tokens(path):
            if kind != "link" or re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            there = (path.parent / unquote(name)).resolve() if name else path
            if not there.exists() or (anchor and anchor not in anchors(there)):
                wrong.append(f"{path.relative_to(ROOT)}: {target}")
    assert not wrong
    assert len(documents()) > 50
