"""Finds plugins that would feed each other for ever.

Owns that one check. A plugin's results come back through the journal like readings, so that others
may read them; two that read each other's would each wake the other without end. Must not know
files.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from forebay.config.faults import dotted
from forebay.errors import Fault
from forebay.pluginhost.results import results_schemas
from forebay.pluginhost.rows import Selection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forebay.config.faults import Where
    from forebay.pluginhost.settings import Instance


def check_cycles(instances: Sequence[Instance], where: Where) -> Iterator[Fault]:
    """Find a circle of plugins each of which reads results of the one before.

    `where` is the table that theirs are in.
    """
    read_by: dict[str, list[str]] = {
        reader.name: [giver.name for giver in instances if _reads(reader, giver)]
        for reader in instances
    }
    try:
        TopologicalSorter(read_by).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        yield Fault(
            dotted((*where, circle[1], "inputs")),
            f"results go round without end: {' -> '.join(circle)}",
            "name the tags that are meant, such as press/*, in place of */*",
        )


def _reads(reader: Instance, giver: Instance) -> bool:
    """Whether a result of `giver` is an input of `reader`, which never reads its own."""
    schemas = results_schemas(giver.name, giver.outputs).all()
    return any(
        Selection({role: settings.model_copy(update={"min": 1})}, schemas, reader.name).inputs
        for role, settings in reader.inputs.items()
    )
