"""A PLC whose every value is one of a kind: column and number of the poll can be read from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forebay.errors import DeviceUnreachable
from forebay.interfaces import Scan
from forebay.model import Batch, Quality, Schema, Tag, ValueType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.clock import Clock
    from forebay.interfaces import Block

COLUMNS = 8


def schema(device: str) -> Schema:
    """Give the tags of a device, all INT64."""
    tags = tuple(Tag(f"t{i}", str(i), ValueType.INT64) for i in range(COLUMNS))
    return Schema(device, "default", tags)


class Plc:
    """Outlives the agent. `value = poll * COLUMNS + column`; no poll is ever numbered twice."""

    def __init__(self) -> None:
        self.polls = 0
        self.down = False


class PlcDriver:
    """Implements `PolledDriver`."""

    def __init__(self, plc: Plc, clock: Clock) -> None:
        self._plc, self._clock = plc, clock

    async def connect(self) -> None:
        """See `Driver.connect`."""
        self._check()

    async def close(self) -> None:
        """See `Driver.close`."""

    def spans(self, schema: Schema) -> None:
        """See `PolledDriver.spans`: nothing to plan."""
        del schema

    def reader(self, schema: Schema, blocks: Sequence[Block]) -> _Reader:
        """See `PolledDriver.reader`."""
        del blocks
        return _Reader(self, schema)

    def read(self, schema: Schema) -> Batch:
        """Give the next row."""
        self._check()
        now = np.array([self._clock.now_ns()], np.int64)
        number, self._plc.polls = self._plc.polls, self._plc.polls + 1
        row = np.arange(COLUMNS, dtype=np.int64)[None, :] + number * COLUMNS
        return Batch(schema, now, now.copy(), (row,))

    def _check(self) -> None:
        if self._plc.down:
            raise DeviceUnreachable("the PLC is off", hint="wait", status=Quality.BAD_NOT_CONNECTED)


class _Reader:
    def __init__(self, driver: PlcDriver, schema: Schema) -> None:
        self._driver, self._schema = driver, schema

    async def read(self) -> Scan:
        return Scan(self._driver.read(self._schema))
