"""One group's compiled reads: a scan out, its answers decoded into one row.

Owns the path from answers to batch. Must not know schedules, retries or how a plan was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forebay.clock import stamp
from forebay.drivers.modbus.codec import called, meaning
from forebay.interfaces import Refusal, Scan
from forebay.model import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from forebay.clock import Clock
    from forebay.drivers.modbus.codec import Request
    from forebay.drivers.modbus.decode import Decoder
    from forebay.drivers.modbus.gauge import Gauge
    from forebay.drivers.modbus.unit import Unit
    from forebay.interfaces import Block
    from forebay.model import Schema


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
        unit: Unit,
        clock: Clock,
    ) -> None:
        self._schema = schema
        self._blocks = blocks
        self._requests = requests
        self._image = image
        self._decoder = decoder
        self._quality = quality
        self._complete = not quality.any()
        self._unit = unit
        self._clock = clock
        self.gauge: Gauge | None = None
        """Measures some of the reads, if it is set."""
        self.address_base = 0
        """What addresses count from where people are told of them."""

    async def read(self) -> Scan:
        """See `Reader.read`."""
        began_ns = self._clock.boottime_ns()
        refused: Sequence[tuple[int, int]]
        if self.gauge is not None and self.gauge.due():
            refused = await self.gauge.run(self._requests, self._image)
        else:
            job = self._unit.job(self._requests, self._image)
            await self._unit.run(job)
            refused = job.refused
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
        first = block.start + self.address_base
        asked = f"{block.area}:{first}"
        if block.count > 1:
            asked += f" to {first + block.count - 1}"
        return Refusal(
            index, means.status, f"{called(code)}, {means.text}, for {asked}", means.permanent
        )
