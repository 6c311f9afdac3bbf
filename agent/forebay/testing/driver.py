"""A driver that does what a test tells it, and an intake that remembers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.clock import stamp
from forebay.interfaces import Refusal, Scan, Span, SpanLimits
from forebay.model import Batch, Quality

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from forebay.clock import Clock
    from forebay.interfaces import Block, Value
    from forebay.model import Gap, Schema


class CollectingIntake:
    """Implements `forebay.interfaces.Intake` by keeping every batch and every gap."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.batches: list[Batch] = []
        self.gaps: list[Gap] = []

    async def accept(self, batch: Batch) -> None:
        """See `Intake.accept`."""
        self.batches.append(batch)

    async def commit(self, batch: Batch) -> None:
        """See `Intake.commit`."""
        self.batches.append(batch)

    def account(self, gap: Gap) -> None:
        """See `Intake.account`."""
        self.gaps.append(gap)


class ScriptedDriver:
    """Implements `PolledDriver`, `StreamedDriver`, `WritableDriver` and `CallableDriver`.

    Column i reads i + 1000 * the number of reads so far. `refused` names columns at addresses that
    the device refuses, so a block that touches one is refused whole. `on_connect`, `on_read` and
    `on_write` (given the tag and the value, or the method and its arguments) are called first and
    may raise, or return an awaitable. `written` lists what was sent; a tag reads back as what was
    written last, or as `on_read_back` says.
    """

    def __init__(self, clock: Clock, *, max_count: int = 125) -> None:
        """Answer at once with the time of `clock`."""
        self._clock, self._max_count = clock, max_count
        self.refused: set[int] = set()
        self.on_connect: Callable[[], Any] = lambda: None
        self.on_read: Callable[[], Any] = lambda: None
        self.on_write: Callable[[str, Any], Any] = lambda _tag, _value: None
        self.on_read_back: Callable[[str], Any] = lambda tag: dict(self.written).get(tag)
        self.written: list[tuple[str, Any]] = []
        self.connects = self.closes = self.reads = 0
        self.requests: list[tuple[int, ...]] = []
        self.feed: asyncio.Queue[Batch | Exception] = asyncio.Queue(maxsize=1000)

    async def connect(self) -> None:
        """See `Driver.connect`."""
        self.connects += 1
        await _maybe(self.on_connect())

    async def close(self) -> None:
        """See `Driver.close`."""
        self.closes += 1

    def spans(self, schema: Schema) -> Sequence[Span]:
        """See `PolledDriver.spans`: column i lies at i."""
        return [Span("words", column, 1) for column in range(len(schema.tags))]

    def limits(self, area: str) -> SpanLimits:
        """See `PolledDriver.limits`."""
        del area
        return SpanLimits(self._max_count, 0)

    def reader(self, schema: Schema, blocks: Sequence[Block]) -> _ScriptedReader:
        """See `PolledDriver.reader`."""
        return _ScriptedReader(self, schema, tuple(blocks))

    async def write(self, tag: str, value: Value) -> None:
        """See `WritableDriver.write`."""
        self.written.append((tag, value))
        await _maybe(self.on_write(tag, value))

    async def read_back(self, tag: str) -> Value | None:
        """See `WritableDriver.read_back`."""
        value: Value | None = self.on_read_back(tag)
        return value

    async def call(self, method: str, arguments: Sequence[Value]) -> Sequence[Value]:
        """See `CallableDriver.call`: give the arguments."""
        self.written.append((method, tuple(arguments)))
        await _maybe(self.on_write(method, tuple(arguments)))
        return arguments

    async def stream(self, schemas: Mapping[Schema, float]) -> AsyncIterator[Batch]:
        """See `StreamedDriver.stream`: give what a test puts into `feed`."""
        del schemas
        while True:
            item = await self.feed.get()
            if isinstance(item, Exception):
                raise item
            yield item


class _ScriptedReader:
    def __init__(self, driver: ScriptedDriver, schema: Schema, blocks: tuple[Block, ...]) -> None:
        self._driver, self._schema, self._blocks = driver, schema, blocks

    async def read(self) -> Scan:
        driver = self._driver
        driver.reads += 1
        clock = driver._clock  # noqa: SLF001 - the driver's own other half
        began_ns = clock.boottime_ns()
        await _maybe(driver.on_read())
        quality = np.zeros((1, len(self._schema.tags)), np.uint32)
        refusals = []
        for number, block in enumerate(self._blocks):
            driver.requests.append(block.columns)
            if driver.refused & set(block.columns):
                quality[0, list(block.columns)] = Quality.BAD_OUT_OF_RANGE
                refusals.append(
                    Refusal(
                        number, Quality.BAD_OUT_OF_RANGE, "illegal data address", permanent=True
                    )
                )
        covered = {c for block in self._blocks for c in block.columns}
        missing = [c for c in range(len(self._schema.tags)) if c not in covered]
        quality[0, missing] = Quality.BAD_OUT_OF_RANGE
        values = []
        for lane in self._schema.lanes:
            row = (lane.columns + 1000 * driver.reads).astype(lane.type.dtype)
            values.append(
                np.where(quality[0, lane.columns] >> 31, 0, row).astype(lane.type.dtype)[None, :]
            )
        received = stamp(clock)
        batch = Batch(
            self._schema,
            np.array([received.at(began_ns).wall_ns], np.int64),
            np.array([received.wall_ns], np.int64),
            tuple(values),
            quality if quality.any() else None,
            boottime_ns=np.array([received.boottime_ns], np.int64),
        )
        return Scan(batch, tuple(refusals))


async def _maybe(result: Any) -> None:  # noqa: ANN401 - what a test's hook gave
    if result is not None:
        await result
