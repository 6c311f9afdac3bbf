"""docs/ARCHITECTURE.md names files and functions; each of them is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/ARCHITECTURE.md"
NAMED = re.compile(r"`([\w/]+\.py): ([\w.]+)`")
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def names(path: Path) -> set[str]:
    """The functions, classes and methods of a module."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, FUNCTION | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (member for member in node.body if isinstance(member, FUNCTION))
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


def test_every_function_that_the_architecture_names_is_there() -> None:
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))
    assert ("pipeline/intake.py", "Pipeline.accept") in named
    missing = []
    for place, name in named:
        path = next((p for p in (ROOT / "agent/forebay" / place, ROOT / place) if p.exists()), None)
        if path is None or name not in names(path):
            missing.append(f"{place}: {name}")
    assert not missing
