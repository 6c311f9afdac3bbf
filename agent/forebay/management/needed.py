"""Which versions of plugins and models the configurations on disk name.

Owns the reading of that alone. What runs is among them, and what the box may go back to: none of
these may be let go of, nor become something else under its name. Blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forebay.config.bundle import FRAGMENTS, MAX_FILE_BYTES
from forebay.config.plugins import MODELS
from forebay.config.sources import parse, read_text
from forebay.errors import Fault
from forebay.management.generations import FOLDER
from forebay.pluginhost.installed import Installed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path


def needed(state: Path, mains: Collection[Path] = ()) -> set[Path]:
    """Give the directories of versions that a generation names, or a configuration of `mains`.

    A file that cannot be read, or is no configuration, cannot run and names nothing.
    """
    found: set[Path] = set()
    fragments = (one for main in mains for one in (main.parent / FRAGMENTS).glob("*.toml"))
    for path in (*mains, *fragments, *(state / FOLDER).glob("gen-*/**/*.toml")):
        for kind, name, version in _named(path):
            home = Installed(state).home if kind == "plugin" else state / MODELS
            found.add(home / name / version)
    return found


def _named(path: Path) -> Iterator[tuple[str, str, str]]:
    """Give type, name and version of what a file names."""
    text = read_text(path, path.name, MAX_FILE_BYTES, if_large="")
    tables = text if isinstance(text, Fault) else parse(text, path.name)
    if isinstance(tables, Fault):
        return
    plugins = tables.get("plugins")
    for table in plugins.values() if isinstance(plugins, dict) else ():
        if isinstance(table, dict):
            yield from _of_table(table)


def _of_table(table: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    plugin, version = table.get("plugin"), table.get("version")
    if isinstance(plugin, str) and isinstance(version, str):
        yield "plugin", plugin, version
    model = table.get("model_package")
    if isinstance(model, str):
        name, _, of = model.partition("@")
        yield "model", name, of
