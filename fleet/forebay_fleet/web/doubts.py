"""What a box will most likely not take of a configuration: held against the schema of its agent.

Owns the reading of `config.schema.json`, which `scripts/reference` copies from the agent's own, for
this version. The box has the last word: its agent may be older or newer, and what a schema cannot
say (files, certificates, names of others) only it knows. So these are doubts, and stop nothing.
"""

from __future__ import annotations

import json
import tomllib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # it has no types

from forebay_fleet.desired.folder import MAIN
from forebay_fleet.rollouts.templates import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema import ValidationError

MOST = 50
_MAX_TEXT = 300


def found(contents: Mapping[str, bytes], gateway: str = "") -> list[Fault]:
    """Give what is doubtful of files that are TOML; `gateway` is the box that they are for."""
    joined: dict[str, Any] = {}
    names = [MAIN, *sorted(name for name in contents if name.startswith("conf.d/"))]
    for name in names:
        if not name.endswith(".toml") or name not in contents:
            continue
        try:
            _join(joined, tomllib.loads(contents[name].decode("utf-8-sig")))
        except ValueError as error:
            return [Fault(name, f"is no TOML: {error}"[:_MAX_TEXT], "correct it")]
    doubts = [_told(error) for error in _schema().iter_errors(joined)]
    if not joined.get("devices") and not joined.get("plugins"):
        doubts.append(Fault("devices", "nothing is read", "add a table [devices.NAME]"))
    own = joined.get("gateway")
    said = own.get("id") if isinstance(own, dict) else None
    if gateway and isinstance(said, str) and said != gateway:
        hint = f"a box keeps its id: write {gateway!r}"
        doubts.append(Fault("gateway.id", f"is {said[:64]!r}, and this is {gateway!r}", hint))
    return doubts[:MOST]


@cache
def _schema() -> Draft202012Validator:
    text = resources.files("forebay_fleet.web").joinpath("config.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def _join(into: dict[str, Any], tables: Mapping[str, Any]) -> None:
    """Join tables of several files, as the agent does."""
    for key, value in tables.items():
        known = into.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            _join(known, value)
        else:
            into[key] = value


def _told(error: ValidationError) -> Fault:
    """Give the deepest cause of an error that has several: it is what a person mistyped."""
    deepest = max(_causes(error), key=lambda one: len(one.absolute_path))
    path = ".".join(str(part) for part in deepest.absolute_path) or "the file"
    hint = "docs/reference/config.md has every key with its type and bounds"
    return Fault(path, deepest.message[:_MAX_TEXT], hint)


def _causes(error: ValidationError) -> Iterator[ValidationError]:
    yield error
    for cause in error.context or ():
        yield from _causes(cause)
