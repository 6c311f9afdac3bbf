"""Every error that a person can meet has a hint: in the trees, and where each one is raised."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import forebay
import forebay_fleet
from forebay.errors import Fault, ForebayError
from forebay_fleet.errors import FleetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (forebay, forebay_fleet)
ROOTS = (ForebayError, FleetError)
TWO_WORDS = 2


@cache
def modules() -> tuple[ModuleType, ...]:
    """Give every module, imported: only what is imported has subclasses."""
    names = (
        one.name
        for package in PACKAGES
        for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not one.name.endswith("__main__") and "._proto" not in one.name
    )
    return tuple(map(import_module, names))


def tree(root: type[Exception]) -> Iterator[type[Exception]]:
    """Walk it, the root first."""
    yield root
    for kind in root.__subclasses__():
        yield from tree(kind)


def every() -> dict[str, type[Exception]]:
    """Give the classes of all trees by their full names."""
    modules()
    kinds = {kind for root in ROOTS for kind in tree(root)}
    return {f"{kind.__module__}.{kind.__qualname__}": kind for kind in kinds}


def raised(module: ModuleType) -> Iterator[tuple[str, type[Exception], ast.Call]]:
    """Give where a module makes an error of the trees: place, class and call."""
    path = Path(str(module.__file__))
    kinds = set(every().values())
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            kind = _meant(node.func, module)
            if isinstance(kind, type) and kind in kinds:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", kind, node


def _meant(called: ast.expr, module: ModuleType) -> object:
    match called:
        case ast.Name(id=name):
            return vars(module).get(name)
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            return getattr(vars(module).get(name), attribute, None)
    return None


def test_no_error_can_be_made_without_a_hint() -> None:
    bare = []
    for name, kind in every().items():
        parameters = inspect.signature(kind).parameters
        if "hint" in parameters:
            bare += [name] if parameters["hint"].default is not inspect.Parameter.empty else []
            continue
        needed = [p for p in parameters.values() if p.default is p.empty]
        made = kind(*(_some(p) for p in needed if p.kind is not p.VAR_KEYWORD))
        bare += [name] if len(str(getattr(made, "hint", "")).split()) < TWO_WORDS else []
    assert bare == [], "what does a person do next?"
    assert len(every()) > 40


def _some(parameter: inspect.Parameter) -> object:
    """Give something of the kind that a parameter wants."""
    wanted = str(parameter.annotation)
    if "Fault" in wanted:
        return [Fault("journal.directory", "is not there", "make it")]
    return 1 if "int" in wanted else "something"


def test_each_place_that_raises_says_the_next_step() -> None:
    """A hint that stands there is words; one that is handed on comes from such a place."""
    found, bare = 0, []
    for module in modules():
        if ".testing." in module.__name__:
            continue
        for place, _, node in raised(module):
            found += 1
            hints = [one.value for one in node.keywords if one.arg == "hint"]
            words = [h.value for h in hints if isinstance(h, ast.Constant)]
            if any(not isinstance(text, str) or len(text.split()) < TWO_WORDS for text in words):
                bare.append(place)
    assert found > 400
    assert bare == []
