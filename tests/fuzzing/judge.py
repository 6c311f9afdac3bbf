"""An intake that believes nothing: every Good value must have been said, in its own scan."""

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from forebay.model import BAD_SEVERITY, ValueType
from fuzzing.wire import READS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from forebay.model import Batch, Gap
    from fuzzing.wire import Asked

SLACK_NS = 2_000_000
"""What reading the wall clock and the time since boot one after the other may be off."""


class ModbusJudge:
    """Implements `forebay.interfaces.Intake`.

    `places` maps a device to its unit and, by column, area and address; words are `uint64`, bits
    `bool`. `wrong` says what was Good and never said; `seen` counts values.
    """

    def __init__(
        self, recent: Iterable[Asked], places: Mapping[str, tuple[int, list[tuple[str, int]]]]
    ) -> None:
        self._recent, self._places = recent, places
        self.seen = Counter[str]()
        self.wrong: list[str] = []

    async def accept(self, batch: Batch) -> None:
        """Judge one row."""
        source = batch.schema.source
        unit, places = self._places[source]
        quality = np.zeros(len(places), np.uint32) if batch.quality is None else batch.quality[0]
        assert batch.boottime_ns is not None
        received_ns = int(batch.boottime_ns[0])
        began_ns = received_ns - int(batch.received_ns[0]) + int(batch.times_ns[0])
        said = [
            asked
            for asked in self._recent
            if asked.unit == unit
            and asked.data is not None
            and began_ns - SLACK_NS <= asked.asked_ns <= received_ns
        ]
        self.seen["rows"] += 1
        for number, lane in enumerate(batch.schema.lanes):
            values = batch.values[number][0].tolist()
            for column, value in zip(lane.columns.tolist(), values, strict=True):
                if quality[column] & BAD_SEVERITY:
                    self.seen["bad"] += 1
                    if value:
                        self.wrong.append(f"{source}: a bad sample of column {column} has a value")
                    continue
                self.seen["good"] += 1
                area, address = places[column]
                if not _was_said(said, lane.type, area, address, value):
                    self.wrong.append(f"{source}: {area}:{address} was never {value} in this scan")
        del self.wrong[20:]

    async def commit(self, batch: Batch) -> None:
        """See `Intake.commit`: nothing here commits."""
        await self.accept(batch)

    def account(self, gap: Gap) -> None:
        """See `Intake.account`: a busy machine may stand still."""
        self.seen["gaps"] += 1


def _was_said(said: list[Asked], kind: ValueType, area: str, address: int, value: object) -> bool:
    for asked in said:
        if READS[asked.function] != area or asked.torn:
            continue
        if kind is ValueType.BOOL:
            if asked.bit(address) is value:
                return True
        elif asked.words(address, 4) == struct.pack(">Q", value):
            return True
    return False
