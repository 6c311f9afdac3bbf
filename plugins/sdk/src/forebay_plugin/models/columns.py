"""Which tag goes into which column of a model: by name, or as the settings say, never by luck.

Owns that choice. Must not know values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forebay_plugin.plugin import PluginError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay_plugin.models.manifest import Port


def order(port: Port, tags: Sequence[str], settings: Mapping[str, Any]) -> list[int]:
    """Give the index in `tags` (DEVICE/TAG) for each column of `port`.

    `settings.columns`, a list of DEVICE/TAG, decides if it is there. Else a model whose columns
    have names takes the tags that are called so behind their device; one without takes all tags
    as they come.

    Raises:
        PluginError: a column has no tag, or two; or the model takes another number of columns.
    """
    chosen = settings.get("columns", [])
    if not isinstance(chosen, list) or not all(isinstance(tag, str) for tag in chosen):
        raise PluginError("settings.columns must be a list of DEVICE/TAG")
    if chosen:
        unknown = [tag for tag in chosen if tag not in tags]
        if unknown:
            raise PluginError(f"settings.columns: {unknown[0]} is no input of this plugin")
        found = [tags.index(tag) for tag in chosen]
    elif port.names:
        found = [_named(name, tags) for name in port.names]
    else:
        found = list(range(len(tags)))
    size = port.shape[-1] if port.shape else 1
    wanted = len(port.names) or (size if isinstance(size, int) else len(found))
    if len(found) != wanted:
        raise PluginError(
            f"the model takes {wanted} columns, and the inputs are {len(found)} tags: "
            "set `columns` of this plugin to the tags in the model's order"
        )
    return found


def _named(name: str, tags: Sequence[str]) -> int:
    found = [index for index, tag in enumerate(tags) if tag == name or tag.endswith(f"/{name}")]
    if len(found) != 1:
        problem = "no tag" if not found else f"{len(found)} tags"
        raise PluginError(
            f"the model wants the column {name}, and {problem} of the inputs is called so: "
            "set `columns` of this plugin to the tags in the model's order"
        )
    return found[0]
