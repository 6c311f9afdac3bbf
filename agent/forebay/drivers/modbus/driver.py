"""The Modbus driver: places tags, compiles plans into readers, turns a scan into a batch.

Owns the path from settings to batch. Must not know schedules, retries or how a plan was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forebay.clock import stamp
from forebay.drivers.modbus.codec import compile_request, data_bytes, meaning
from forebay.drivers.modbus.config import ModbusSettings
from forebay.drivers.modbus.connection import Connection
from forebay.drivers.modbus.decode import VOID_BYTES, Decoder, cell_of
from forebay.drivers.modbus.tag import ModbusTag
from forebay.errors import DeviceUnreachable
from forebay.interfaces import Refusal, Scan, Span
from forebay.model import Batch, Quality

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from forebay.clock import Clock
    from forebay.drivers.modbus.codec import Request
    from forebay.drivers.modbus.decode import Cell
    from forebay.interfaces import Block, DeviceSpec, Line, Seams, SpanLimits
    from forebay.model import Schema


class ModbusDriver:
    """Speaks Modbus TCP to one device; see `interfaces.PolledDriver`."""

    def __init__(self, spec: DeviceSpec, seams: Seams, line: Line) -> None:
        assert isinstance(spec.settings, ModbusSettings)
        self._settings = spec.settings
        self._seams, self._line = seams, line
        self._connection: Connection | None = None
        self._tags = {name: t for name, t in spec.tags.items() if isinstance(t, ModbusTag)}

    async def connect(self) -> None:
        """See `Driver.connect`; raises DeviceUnreachable."""
        settings = self._settings
        connection = Connection(settings.max_in_flight, settings.timeout)
        try:
            await self._seams.network.connect_tcp(settings.host, settings.port, connection)
        except OSError as error:
            raise DeviceUnreachable(
                f"no connection to {settings.host} port {settings.port}: {error.strerror or error}",
                hint="check host, port, cabling and whether Modbus TCP is switched on",
                status=Quality.BAD_NO_COMMUNICATION,
            ) from error
        self._connection = connection

    async def close(self) -> None:
        """See `Driver.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def spans(self, schema: Schema) -> Sequence[Span]:
        """See `PolledDriver.spans`.

        Areas are `coil` and `discrete`, counted in bits, and `holding` and `input`, in registers.
        """
        tags = (self._tags[tag.name] for tag in schema.tags)
        return [Span(tag.place.area, tag.place.start, tag.count) for tag in tags]

    def limits(self, area: str) -> SpanLimits:
        """See `PolledDriver.limits`."""
        return self._settings.limits(area)

    def reader(self, schema: Schema, blocks: Sequence[Block]) -> ModbusReader:
        """See `PolledDriver.reader`."""
        assert self._connection is not None, "connect first"
        offset, requests = 0, []
        cells: list[Cell | None] = [None] * len(schema.tags)
        for block in blocks:
            requests.append(
                compile_request(self._settings.unit, block.area, block.start, block.count, offset)
            )
            for column in block.columns:
                tag = self._tags[schema.tags[column].name]
                order = tag.order or self._settings.order
                cells[column] = cell_of(tag, order, offset, tag.place.start - block.start)
            # Even, so that registers lie on register boundaries whatever came before.
            offset += (data_bytes(block.area, block.count) + 1) // 2 * 2
        image_bytes = offset + VOID_BYTES
        decoder = Decoder(schema, cells, image_bytes)
        quality = np.array(
            [Quality.GOOD if cell else Quality.BAD_NODE_ID_UNKNOWN for cell in cells],
            np.uint32,
        )
        return ModbusReader(
            schema, tuple(blocks), tuple(requests), bytearray(image_bytes), decoder,
            quality, self._connection, self._seams.clock,
        )  # fmt: skip


class ModbusReader:
    """One group's compiled reads; see `interfaces.Reader`.

    A column that no block feeds is BAD_NODE_ID_UNKNOWN. NaN and infinities are kept and
    UNCERTAIN. A string that is not UTF-8 is BAD_DECODING_ERROR.
    """

    def __init__(
        self,
        schema: Schema,
        blocks: tuple[Block, ...],
        requests: tuple[Request, ...],
        image: bytearray,
        decoder: Decoder,
        quality: NDArray[np.uint32],
        connection: Connection,
        clock: Clock,
    ) -> None:
        self._schema = schema
        self._blocks = blocks
        self._requests = requests
        self._image = image
        self._decoder = decoder
        self._quality = quality
        self._complete = not quality.any()
        self._connection = connection
        self._clock = clock

    async def read(self) -> Scan:
        """See `Reader.read`."""
        began_ns = self._clock.boottime_ns()
        refused = await self._connection.exchange(self._requests, self._image)
        received = stamp(self._clock)
        values, marks = self._decoder.decode(self._image)
        quality: NDArray[np.uint32] | None = None
        refusals = tuple(self._refusal(index, code) for index, code in refused)
        if refusals or marks or not self._complete:
            quality = self._quality.copy().reshape(1, -1)
            for mark in marks:
                quality[0, mark.columns] = mark.status
            for refusal in refusals:
                quality[0, list(self._blocks[refusal.block].columns)] = refusal.status
        batch = Batch(
            self._schema,
            np.array([received.at(began_ns).wall_ns], np.int64),
            np.array([received.wall_ns], np.int64),
            values,
            quality,
            boottime_ns=np.array([received.boottime_ns], np.int64),
        )
        return Scan(batch, refusals)

    def _refusal(self, index: int, code: int) -> Refusal:
        block, means = self._blocks[index], meaning(code)
        asked = f"{block.area}:{block.start}"
        if block.count > 1:
            asked += f" to {block.start + block.count - 1}"
        return Refusal(
            index, means.status, f"exception {code}, {means.text}, for {asked}", means.permanent
        )
