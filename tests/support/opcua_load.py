"""A node-opcua server with many variables, and proof that none of their samples is missing."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forebay.drivers.opcua import SPEC
from forebay.interfaces import DeviceSpec
from forebay.model import Schema
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay.model import Batch

SERVER = Path(__file__).resolve().parent.parent / "testbeds/node_opcua_load_server.js"
NAMESPACE = "urn:forebay:load"
TYPES = ("float64", "int32", "uint32", "float32")
"""In turns, as a plant has them; a notification of one type alone is cheaper to read."""


@contextmanager
def load_server(node: str, state: str, tags: int) -> Iterator[str]:
    """Run the server with its certificates in `state`; gives its endpoint."""
    command = [node, str(SERVER), str(free_port()), state, str(tags), "mixed"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith("{"):
            assert line, "the server ended before it served"
        try:
            yield f"opc.tcp://127.0.0.1:{json.loads(line)['port']}"
        finally:
            process.stdin.close()
            process.wait(timeout=30)


def load_device(endpoint: str, tags: int, absent: int = 0) -> DeviceSpec:
    """Give a device with one group of all variables, behind them some that are not there."""
    rows = {
        f"v{n}": SPEC.tag.model_validate(
            {"name": f"v{n}", "address": f"nsu={NAMESPACE};s=V{n}", "type": TYPES[n % len(TYPES)]}
        )
        for n in range(tags + absent)
    }
    given = {
        "protocol": "opcua",
        "endpoint": endpoint,
        "security_policy": "None",
        "timeout": 30.0,
    }
    schema = Schema("load", "all", tuple(row.to_tag() for row in rows.values()))
    return DeviceSpec("load", SPEC.settings.model_validate(given), (schema,), rows)


class Heard:
    """Checks that each variable's samples came without a hole."""

    def __init__(self, schema: Schema) -> None:
        """Begin with none."""
        self.count = 0
        self.each = np.zeros(len(schema.tags), np.int64)
        self.qualities: dict[int, int] = {}
        """Of the columns that are bad."""
        self._last = np.zeros(len(schema.tags))
        self._lanes = schema.lanes
        self._lane_of = schema.lane_of

    def take(self, batch: Batch) -> None:
        """Count a batch, and hold its values against those before; one that is bad has none."""
        assert batch.index is not None
        if batch.quality is not None:
            self.qualities |= zip(batch.index.tolist(), batch.quality.tolist(), strict=True)
            return
        self.count += batch.rows
        for number, values in enumerate(batch.values):
            columns = batch.index[self._lane_of[batch.index] == number]
            order = np.argsort(columns, kind="stable")
            columns, came = columns[order], values[order].astype(np.float64)
            before = self._last[columns]
            same = np.flatnonzero(columns[1:] == columns[:-1]) + 1
            before[same] = came[same - 1]
            first = before == 0
            assert ((came == before + 1) | first).all(), "a sample did not come"
            self._last[columns] = came
            np.add.at(self.each, columns, 1)
