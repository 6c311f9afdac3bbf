"""Columns that want a part of a node's value: the node is asked for once, and feeds them all.

Owns which column asks on behalf of which others. Pure. Must not know how a part is found in the
bytes (`structures` does).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.drivers.opcua.address import NodeAddress, parse_address
from forebay.drivers.opcua.binary import ARRAY, NULL, STRUCTURE
from forebay.drivers.opcua.codec import Values
from forebay.drivers.opcua.structures import pick
from forebay.model import BAD_SEVERITY, Quality

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from forebay.drivers.opcua.address import Step
    from forebay.drivers.opcua.structures import Structure
    from forebay.model import Schema


class Parts:
    """The columns of one schema that are parts of their nodes' values.

    The first column of a node asks for it, the others only get theirs out of the answer: `asking`
    are all columns that ask, plain ones too.
    """

    def __init__(
        self, schema: Schema, structures: Mapping[NodeAddress, Structure] | None = None
    ) -> None:
        """`structures` has the layout of the structures by their nodes' addresses."""
        self._structures = structures or {}
        self._of: dict[int, list[tuple[int, tuple[Step, ...]]]] = {}
        self._nodes: dict[int, NodeAddress] = {}
        first: dict[NodeAddress, int] = {}
        asking: list[int] = []
        for column, tag in enumerate(schema.tags):
            address = parse_address(tag.address)
            if address.part:
                whole = replace(address, part=())
                leader = first.setdefault(whole, column)
                self._of.setdefault(leader, []).append((column, address.part))
                self._nodes[leader] = whole
                if leader != column:
                    continue
            asking.append(column)
        self.asking = tuple(asking)
        self._fan = np.ones(len(schema.tags), np.intp)
        for leader, columns in self._of.items():
            self._fan[leader] = len(columns)
        self._parted = np.zeros(len(schema.tags), np.bool_)
        self._parted[list(self._of)] = True

    def spread(self, values: Values) -> Values:
        """Give each column its own value; `values.handles` are columns that ask."""
        if not self._of:
            return values
        parted = np.flatnonzero(self._parted[values.handles])
        if not len(parted):
            return values
        counts = self._fan[values.handles]
        rows = np.repeat(np.arange(len(counts)), counts)
        starts = np.cumsum(counts) - counts
        raw = values.values if isinstance(values.values, list) else values.values.tolist()
        given: list[Any] = [raw[row] for row in rows.tolist()]
        handles, kinds = values.handles[rows], values.kinds[rows]
        statuses = values.statuses[rows]
        for row in parted.tolist():
            leader, kind = int(values.handles[row]), int(values.kinds[row])
            bad = int(values.statuses[row]) & BAD_SEVERITY != 0
            structure = self._structures.get(self._nodes[leader])
            for place, (column, part) in enumerate(self._of[leader], int(starts[row])):
                handles[place] = column
                if bad or kind == NULL:
                    continue
                if kind in (ARRAY, STRUCTURE):
                    kinds[place], given[place], status = pick(raw[row], part, structure)
                else:
                    kinds[place], given[place] = NULL, None
                    status = int(Quality.BAD_NOT_SUPPORTED)  # a plain value has no parts
                if status:
                    statuses[place] = status
        return Values(
            handles,
            kinds,
            given,
            statuses,
            values.source_ticks[rows],
            values.server_ticks[rows],
        )


def structured(schemas: Iterable[Schema]) -> set[NodeAddress]:
    """Give the nodes of which some tag wants a field."""
    addresses = (parse_address(tag.address) for schema in schemas for tag in schema.tags)
    return {
        replace(address, part=())
        for address in addresses
        if any(isinstance(step, str) for step in address.part)
    }
