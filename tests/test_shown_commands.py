"""Every command that README and docs show is typed by a test, or stands here with a reason.

Who types a page says so by `follows`, and fails where it left a command out: support/shown.py.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from support import shown

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}
SHOWING = {page for page, text in PAGES.items() if shown.commands(text)}


@cache
def followers() -> dict[str, list[str]]:
    """Give each page that somebody says to follow, with who says it."""
    found: dict[str, list[str]] = {}
    for folder in ("e2e", "systemd"):
        for path in sorted((ROOT / "tests" / folder).glob("*.py")):
            for words in re.findall(r"\bfollow(?:s|ed)\(([^)]*)\)", path.read_text("utf-8")):
                for page in re.findall(r'"([^"]+)"', words):
                    found.setdefault(page, []).append(path.name)
    return found


@pytest.mark.parametrize("page", sorted(SHOWING))
def test_each_command_is_typed_by_a_test(page: str) -> None:
    left = [] if page in followers() else shown.commands(PAGES[page])
    assert [line for line in left if not shown.reason(page, line)] == []


def test_nobody_follows_what_is_not_there() -> None:
    assert followers().keys() <= SHOWING
    assert len(followers()) > 20


def test_each_reason_is_for_something() -> None:
    for page, reasons in shown.UNTYPED.items():
        lines = shown.commands(PAGES[page])
        for begin in reasons:
            assert any(line.startswith(begin) for line in lines), (page, begin)
        assert all(reasons.values())


def test_commands_are_found_in_every_kind_of_block() -> None:
    page = """
```console
$ one --two \\
    three    # a remark
what it says
# of root
```
```sh
four
five
```
```toml
six = 1
```
"""
    assert shown.commands(page) == ["one --two three", "of root", "four", "five"]


@pytest.mark.parametrize(
    ("line", "made_of"),
    [
        ("forebay read meter/power --limit 3", {"forebay", "read", "--limit"}),
        ("A=1 .venv/bin/python -m a.run x.toml", {"python", "-m", "a.run"}),
        ("systemctl start forebay.service", {"systemctl", "start", "forebay"}),
        ('curl -H "Bearer $T" https://localhost:8443/v1/tags?a=b', {"curl", "-H", "tags"}),
    ],
)
def test_what_a_command_is_made_of(line: str, made_of: set[str]) -> None:
    assert shown.words(line) == made_of


def test_a_page_is_not_followed_by_less(monkeypatch: pytest.MonkeyPatch) -> None:
    page = "docs/guides/first-plc.md"
    lines = shown.commands(PAGES[page])
    monkeypatch.setattr(shown, "typed", lines)
    shown.followed(page)
    monkeypatch.setattr(shown, "typed", [one for one in lines if "status" not in one])
    with pytest.raises(AssertionError, match="forebay status"):
        shown.followed(page)
