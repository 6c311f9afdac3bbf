"""Makes signals out of the clock and the random seam: the same seeds and times, the same values.

Owns how signals are computed. Must not know who polls, or how often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.clock import stamp
from forebay.drivers.simulated.config import DEFAULTS, SimulatedTag
from forebay.errors import DeviceRefused
from forebay.interfaces import Scan, SpanLimits
from forebay.model import Batch, Quality, ValueType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from forebay.drivers.simulated.config import Signal
    from forebay.interfaces import Block, DeviceSpec, Seams, Value
    from forebay.model import Lane, Schema


class SimulatedDriver:
    """Always connected; see `interfaces.PolledDriver` and `WritableDriver`.

    It needs no plan. A constant can be written, and forgets that with the connection; a signal
    refuses to be.
    """

    def __init__(self, spec: DeviceSpec, seams: Seams) -> None:
        self._seams = seams
        self._signals: dict[str, Signal] = {}
        for name, tag in spec.tags.items():
            assert isinstance(tag, SimulatedTag)
            self._signals[name] = tag.signal
        self._written: dict[str, Value] = {}

    async def connect(self) -> None:
        """See `Driver.connect`."""

    async def close(self) -> None:
        """See `Driver.close`."""

    def spans(self, schema: Schema) -> None:
        """See `PolledDriver.spans`."""

    def limits(self, area: str) -> SpanLimits:
        """See `PolledDriver.limits`; never asked, since there is no plan."""
        del area
        return SpanLimits(1, 0)

    def reader(self, schema: Schema, blocks: Sequence[Block]) -> SimulatedReader:
        """See `PolledDriver.reader`."""
        del blocks
        signals = [self._signals[tag.name] for tag in schema.tags]
        return SimulatedReader(schema, signals, self._seams, self._written)

    async def write(self, tag: str, value: Value) -> None:
        """See `WritableDriver.write`."""
        if self._signals[tag].kind != "constant":
            raise DeviceRefused(
                f"{tag} is a {self._signals[tag].kind}",
                hint="only a constant can be written",
                status=Quality.BAD_NOT_WRITABLE,
            )
        self._written[tag] = value

    async def read_back(self, tag: str) -> Value | None:
        """See `WritableDriver.read_back`."""
        return self._written.get(tag, self._signals[tag].constant)


class SimulatedReader:
    """One group's signals; see `interfaces.Reader`."""

    def __init__(
        self,
        schema: Schema,
        signals: Sequence[Signal],
        seams: Seams,
        written: Mapping[str, Value],
    ) -> None:
        self._schema, self._written = schema, written
        self._clock = seams.clock
        self._random = np.random.default_rng(seams.rng.getrandbits(64))
        self._lanes = [
            _Lane(lane, [signals[column] for column in lane.columns]) for lane in schema.lanes
        ]

    async def read(self) -> Scan:
        """See `Reader.read`."""
        now = stamp(self._clock)
        values = tuple(lane.next(now.wall_ns / 1e9, self._random) for lane in self._lanes)
        for tag, value in self._written.items():
            self._overwrite(values, tag, value)
        times_ns, boottime_ns = np.array([[now.wall_ns], [now.boottime_ns]], np.int64)
        return Scan(Batch(self._schema, times_ns, times_ns.copy(), values, boottime_ns=boottime_ns))

    def _overwrite(self, values: Sequence[NDArray[Any]], name: str, value: Value) -> None:
        for lane, row in zip(self._schema.lanes, values, strict=True):
            for place, column in enumerate(lane.columns):
                if self._schema.tags[column].name == name:
                    row[0, place] = value


class _Lane:
    """The signals of one type, as vectors; an entry of a figure that a signal lacks is unused."""

    def __init__(self, lane: Lane, signals: Sequence[Signal]) -> None:
        self._type = lane.type
        self._of = {
            kind: np.array([i for i, s in enumerate(signals) if s.kind == kind], np.intp)
            for kind in {signal.kind for signal in signals}
        }
        figures: dict[str, NDArray[np.float64]] = {
            name: np.array([s.figures.get(name, default) for s in signals])
            for name, default in DEFAULTS.items()
        }
        self._low, self._high = figures["low"], figures["high"]
        self._period, self._phase, self._step = figures["period"], figures["phase"], figures["step"]
        self._walk = (self._low + self._high) / 2
        self._count = 0
        self._base = np.zeros((1, len(signals)), lane.type.dtype)
        if lane.type is ValueType.STRING:
            self._base[:] = ""
        for i in self._of.get("constant", ()):
            self._base[0, i] = signals[i].constant

    def next(self, now_s: float, rng: np.random.Generator) -> NDArray[Any]:
        """Give the row at `now_s`, shape (1, k)."""
        out = self._base.copy()
        for kind, at in self._of.items():
            if kind != "constant":
                out[0, at] = self._cast(self._signal(kind, at, now_s, rng))
        self._count += 1
        return out

    def _signal(
        self, kind: str, at: NDArray[np.intp], now_s: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        low, high = self._low[at], self._high[at]
        if kind == "counter":
            counted: NDArray[np.float64] = self._count * self._step[at] % self._modulus()
            return counted
        if kind == "walk":
            steps = rng.uniform(-1, 1, len(at)) * self._step[at]
            self._walk[at] = np.clip(self._walk[at] + steps, low, high)
            walked: NDArray[np.float64] = self._walk[at]
            return walked
        turn: NDArray[np.float64] = (now_s / self._period[at] + self._phase[at]) % 1.0
        if kind == "sine":
            turn = (np.sin(turn * 2 * np.pi) + 1) / 2
        elif kind == "square":
            turn = (turn >= 0.5).astype(np.float64)
            if self._type is ValueType.BOOL:
                return turn
        swung: NDArray[np.float64] = low + (high - low) * turn
        return swung

    def _modulus(self) -> float:
        """Give where a counter starts again from 0: beyond its type, or where floats end."""
        dtype = self._type.dtype
        bits = 53 if dtype.kind == "f" else np.iinfo(dtype).bits - (dtype.kind == "i")
        return float(2.0 ** min(bits, 24 if dtype == np.float32 else 53))

    def _cast(self, values: NDArray[np.float64]) -> NDArray[Any]:
        dtype = self._type.dtype
        return (np.rint(values) if dtype.kind in "iu" else values).astype(dtype)
