"""The Modbus driver: joins the line, places tags, compiles plans into readers.

Owns the path from settings to requests. Must not know schedules, retries or how a plan was found.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from forebay.drivers.modbus.address import ADDRESSES
from forebay.drivers.modbus.carrier import Carrier
from forebay.drivers.modbus.cells import cell_of
from forebay.drivers.modbus.codec import compile_request, data_bytes
from forebay.drivers.modbus.config import ModbusSettings
from forebay.drivers.modbus.decode import VOID_BYTES, Decoder
from forebay.drivers.modbus.gauge import Gauge
from forebay.drivers.modbus.identity import identify
from forebay.drivers.modbus.opening import dial
from forebay.drivers.modbus.reader import ModbusReader
from forebay.drivers.modbus.scan import Scan, areas_of
from forebay.drivers.modbus.tag import ModbusTag
from forebay.drivers.modbus.unit import Unit
from forebay.drivers.modbus.wire import Terms
from forebay.drivers.modbus.writing import Writer
from forebay.errors import DeviceRefused
from forebay.interfaces import Block, Cost, Span, Urgency
from forebay.model import Quality, Schema, is_bad

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from forebay.drivers.modbus.cells import Cell
    from forebay.drivers.modbus.codec import Request
    from forebay.drivers.modbus.cost import Meters
    from forebay.interfaces import DeviceSpec, Line, Seams, SpanLimits, Value

_PROBE_SIZES = (1, 2, 3, 4)
"""How many registers, or eights of bits, a probe may read: answers of different lengths."""


class ModbusDriver:
    """Speaks Modbus to one device; see `interfaces.PolledDriver`."""

    def __init__(self, spec: DeviceSpec, seams: Seams, line: Line) -> None:
        assert isinstance(spec.settings, ModbusSettings)
        self._settings, self._name = spec.settings, spec.name
        self._seams, self._line = seams, line
        self._tags = {name: t for name, t in spec.tags.items() if isinstance(t, ModbusTag)}
        self._unit: Unit | None = None
        self._meters: Meters | None = None

    async def connect(self) -> None:
        """See `Driver.connect`; raises DeviceUnreachable or ProtocolViolation."""
        settings, line, seams = self._settings, self._line, self._seams
        link = settings.link()
        carrier = line.shared(
            lambda: Carrier(line.name, link, lambda *known: dial(link, line, seams, *known))
        )
        carrier.check(link)
        self._meters = carrier.meters(settings.unit)
        terms = Terms(settings.pipeline, settings.timeout, settings.request_pause)
        self._unit = Unit(carrier, settings.unit, terms, closes=settings.close_after_read)
        await self._unit.join(line, self._probes())

    async def close(self) -> None:
        """See `Driver.close`."""
        unit, self._unit = self._unit, None
        if unit is not None:
            await unit.leave()

    def spans(self, schema: Schema) -> Sequence[Span]:
        """See `PolledDriver.spans`.

        Areas are `coil` and `discrete`, counted in bits, and `holding` and `input`, in registers.
        """
        tags = [self._tags[tag.name] for tag in schema.tags]
        places = [self._settings.place(tag) for tag in tags]
        return [
            Span(place.area, place.start, tag.count)
            for place, tag in zip(places, tags, strict=True)
        ]

    def limits(self, area: str) -> SpanLimits:
        """See `PolledDriver.limits`."""
        return self._settings.limits(area, self.cost(area))

    def cost(self, area: str) -> Cost | None:
        """See `MeasuredDriver.cost`; what waits for each other in a pipeline is shared."""
        cost = None if self._meters is None else self._meters.cost(area)
        return cost and Cost(cost.per_request_s / self._settings.pipeline, cost.per_unit_s)

    async def scan(self, areas: Sequence[str], first: int, last: int) -> AsyncIterator[Span]:
        """See `ScannableDriver.scan`; addresses count as those of tags do, from `address_base`."""
        unit, base = self._unit, self._settings.address_base
        assert unit is not None, "connect first"
        asking = Scan(unit, self._line, self._seams.clock, lambda: self._unit is unit)
        first, last = max(first - base, 0), min(last - base, ADDRESSES - 1)
        for area in areas_of(areas):
            most = self._settings.limits(area).max_count
            async for found in asking.area(area, first, last, most):
                yield Span(found.area, found.start + base, found.count)

    def reader(self, schema: Schema, blocks: Sequence[Block]) -> ModbusReader:
        """See `PolledDriver.reader`."""
        assert self._unit is not None, "connect first"
        offset, requests = 0, []
        cells: list[Cell | None] = [None] * len(schema.tags)
        for block in blocks:
            requests.append(
                compile_request(self._settings.unit, block.area, block.start, block.count, offset)
            )
            for column in block.columns:
                tag = self._tags[schema.tags[column].name]
                order = tag.order or self._settings.order
                index = self._settings.place(tag).start - block.start
                cells[column] = cell_of(tag, order, offset, index)
            # Even, so that registers lie on register boundaries whatever came before.
            offset += (data_bytes(block.area, block.count) + 1) // 2 * 2
        image_bytes = offset + VOID_BYTES
        decoder = Decoder(schema, cells, image_bytes)
        quality = np.array(
            [Quality.GOOD if cell else Quality.BAD_NODE_ID_UNKNOWN for cell in cells],
            np.uint32,
        )
        reader = ModbusReader(
            schema, tuple(blocks), tuple(requests), bytearray(image_bytes), decoder,
            quality, self._unit, self._seams.clock,
        )  # fmt: skip
        reader.gauge = self._gauge(blocks)
        reader.address_base = self._settings.address_base
        return reader

    def _gauge(self, blocks: Sequence[Block]) -> Gauge | None:
        """Measure the requests of `blocks`; not where each of them would need a connection."""
        assert self._unit is not None
        assert self._meters is not None
        if self._settings.close_after_read:
            return None
        meters = [self._meters.of(block.area) for block in blocks]
        return Gauge(self._unit, blocks, meters, self._seams.clock)

    async def write(self, tag: str, value: Value) -> None:
        """See `WritableDriver.write`."""
        await self._write(tag, value, None)

    async def write_by(self, tag: str, value: Value, due_s: float) -> None:
        """See `PunctualDriver.write_by`."""
        left_s = due_s - self._seams.clock.monotonic_s()
        await self._write(tag, value, asyncio.get_running_loop().time() + left_s)

    async def _write(self, tag: str, value: Value, end_s: float | None) -> None:
        if self._unit is None:
            raise DeviceRefused(
                "the device is not connected, and nothing was sent",
                hint="see `forebay devices` for the reason",
                status=Quality.BAD_NOT_CONNECTED,
            )
        await Writer(self._unit, self._settings).write(self._tags[tag], value, end_s)

    async def read_back(self, tag: str) -> Value | None:
        """See `WritableDriver.read_back`."""
        schema = Schema(self._name, "", (self._tags[tag].to_tag(),))
        (span,) = self.spans(schema)
        reader = self.reader(schema, (Block(span.area, span.start, span.count, (0,)),))
        batch = (await reader.read()).batch
        if batch.quality is not None and is_bad(int(batch.quality[0, 0])):
            return None
        value: Value = batch.values[0][0].tolist()[0]
        return value

    async def identify(self) -> dict[str, str]:
        """Ask the device who it is (function 43/14): `vendor`, `product_code`, `revision` and more.

        Empty if the device does not say. To be called while connected, for a person: old devices
        may take the question badly. Takes a turn of its own; raises as `Reader.read`.
        """
        assert self._unit is not None, "connect first"
        async with self._line.turn(Urgency.PROBE):
            return await identify(self._unit)

    def _probes(self) -> list[Request]:
        """Give small reads where the first tag lies, each with an answer of another length."""
        first = next(iter(self._tags.values()), None)
        area, start = ("holding", 0) if first is None else self._settings.place(first)[:2]
        per = 8 if area in {"coil", "discrete"} else 1
        return [
            compile_request(self._settings.unit, area, start, 1 + (size - 1) * per, 0)
            for size in _PROBE_SIZES
            if start + 1 + (size - 1) * per <= ADDRESSES
        ]
