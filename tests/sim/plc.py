"""A PLC whose every value is one of a kind: column and number of the poll can be read from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.errors import DeviceUnreachable
from forebay.interfaces import Scan
from forebay.model import Batch, Quality, Schema, Tag, ValueType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from forebay.clock import Clock
    from forebay.interfaces import Block

NOISE_FROM = 40
_WALK_ROWS = 600


class Plc:
    """Outlives the agent. `value = poll * columns + column`; no poll is ever numbered twice.

    Above bit NOISE_FROM is noise, so that readings take room on a disk that is short of it.
    """

    def __init__(self, columns: int = 8) -> None:
        self.columns = columns
        self.polls = 0
        self.down = False

    def schema(self, device: str) -> Schema:
        """Give the tags of a device."""
        tags = tuple(Tag(f"t{i}", str(i), ValueType.INT64) for i in range(self.columns))
        return Schema(device, "default", tags)

    def row(self) -> NDArray[Any]:
        """Give the next poll's values, shape (1, columns)."""
        number, self.polls = self.polls, self.polls + 1
        noise = np.random.default_rng(number).integers(0, 1 << 16, self.columns, dtype=np.int64)
        own = np.arange(self.columns, dtype=np.int64) + number * self.columns
        return ((noise << NOISE_FROM) + own)[None, :]


class Plant(Plc):
    """Many slow process values: a walk by hundredths around the column's own number."""

    def __init__(self, columns: int, rng: np.random.Generator) -> None:
        super().__init__(columns)
        walk = np.cumsum(rng.integers(-2, 3, (_WALK_ROWS, columns), dtype=np.int8), axis=0)
        self._rows = np.arange(columns) + np.clip(walk, -45, 45) / 100

    def schema(self, device: str) -> Schema:
        """See `Plc.schema`."""
        tags = tuple(Tag(f"t{i}", str(i), ValueType.FLOAT64) for i in range(self.columns))
        return Schema(device, "default", tags)

    def row(self) -> NDArray[Any]:
        """See `Plc.row`; the walk goes there and back for ever."""
        at = self.polls % (2 * _WALK_ROWS)
        self.polls += 1
        at = at if at < _WALK_ROWS else 2 * _WALK_ROWS - 1 - at
        return self._rows[at : at + 1]


class PlcDriver:
    """Implements `PolledDriver`."""

    def __init__(self, plc: Plc, clock: Clock, polled: Callable[[int], None]) -> None:
        """Read `plc`; `polled` hears the number of each row before it is given."""
        self._plc, self._clock, self._polled = plc, clock, polled

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
        self._polled(self._plc.polls)
        now = np.array([self._clock.now_ns()], np.int64)
        return Batch(schema, now, now.copy(), (self._plc.row(),))

    def _check(self) -> None:
        if self._plc.down:
            raise DeviceUnreachable("the PLC is off", hint="wait", status=Quality.BAD_NOT_CONNECTED)


class _Reader:
    def __init__(self, driver: PlcDriver, schema: Schema) -> None:
        self._driver, self._schema = driver, schema

    async def read(self) -> Scan:
        return Scan(self._driver.read(self._schema))
