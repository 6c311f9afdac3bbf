"""The swinging door itself, in numpy: no Python object for a sample.

Owns, for each schema, where each tag's door hangs, how far it is open, and the sample that is held
back. Must not know configuration files or the journal.

The algorithm is that of E. H. Bristol, "Swinging Door Trending" (ISA, 1990), with one condition
more. From the *pivot*, the last sample passed, two doors swing: the least and the greatest slope of
lines that pass within the deviation of every sample since. The classic form ends a line when the
doors are past parallel, and passes the sample before, which may itself lie outside of what the
doors left open; the line to it can then be off by twice the deviation. Here a sample is held as the
end of a line only if its own slope lies between the doors, so no line is off by more than the
deviation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.model import BAD_SEVERITY, Batch, ValueType
from forebay.sifting import Kept, PerSchema, joined, kept, waves

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forebay.model import Schema
    from forebay.sifting import Wave
    from forebay.stages.swinging_door.config import SwingingDoorSettings

STEP_NS = 10_000_000
"""A smaller change between wall clock and time since boot is no step, as in the pipeline."""

_EXACT = (ValueType.BOOL, ValueType.STRING, ValueType.BYTES)
_WIDE = (ValueType.INT64, ValueType.UINT64)


class SwingingDoor:
    """Implements `interfaces.Stage` for one device.

    A sample passes if it is its tag's first, if its quality is not that of the one before, if it is
    no number and another than the one before, if it is no later than the one before, if the wall
    clock was set between them, or if the last one passed was received `max_silence` before it. In
    all these cases the sample before passes, too, if it was held back. Else it is held back, in
    place of the one before; which passes if the line from the last one passed would be off by more
    than the deviation somewhere.
    """

    def __init__(self, settings: SwingingDoorSettings) -> None:
        self._doors = PerSchema(lambda schema: _Doors(schema, settings))

    def apply(self, batch: Batch) -> Batch | None:
        """See `Stage.apply`."""
        doors = self._doors.of(batch.schema)
        parts = [doors.close(batch)] if doors.stepped(batch) else []
        whole = not parts
        for wave in waves(batch):
            held, keep = doors.step(wave)
            parts += [held, kept(wave, keep)]
            whole = whole and bool(keep.all()) and not len(held.columns)
        return batch if whole and batch.rows else joined(batch.schema, batch.stream, parts)


class _Doors:
    """The doors of one schema with n columns; all arrays are by column, shape (n,).

    `_pivot*` is the last sample passed, `_seen*` the last one seen, which is held back where
    `_held`. `_low` and `_high` are the doors: raw units a nanosecond. `_pivots` and `_seens` are
    the raw values by lane.
    """

    def __init__(self, schema: Schema, settings: SwingingDoorSettings) -> None:
        count = len(schema.tags)
        rules = [settings.of(tag.name) for tag in schema.tags]
        wanted = np.array(rules, np.float64).reshape(count, 3)
        scales = schema.scales
        self._schema = schema
        # A scale of zero makes every raw value the same for readers: no line is ever off.
        self._least = np.full(count, np.inf)
        np.divide(wanted[:, 0], np.abs(scales), out=self._least, where=scales != 0)
        self._share = wanted[:, 1] / 100.0
        self._base = np.zeros(count)
        np.divide([-t.offset for t in schema.tags], scales, out=self._base, where=scales != 0)
        self._silence_ns = (wanted[:, 2] * 1e9).astype(np.int64)
        self._exact = np.zeros(count, np.bool_)
        for lane in schema.lanes:
            self._exact[lane.columns] = lane.type in _EXACT
        self._known = np.zeros(count, np.bool_)
        self._held = np.zeros(count, np.bool_)
        self._quality = np.zeros(count, np.uint32)
        self._pivot_ns = np.zeros(count, np.int64)
        self._pivot_received_ns = np.zeros(count, np.int64)
        self._seen_ns = np.zeros(count, np.int64)
        self._seen_received_ns = np.zeros(count, np.int64)
        self._seen_boottime_ns = np.zeros(count, np.int64)
        self._deviation = np.zeros(count)
        self._low = np.full(count, -np.inf)
        self._high = np.full(count, np.inf)
        self._pivots = [np.zeros(len(lane.columns), lane.type.dtype) for lane in schema.lanes]
        self._seens = [np.zeros(len(lane.columns), lane.type.dtype) for lane in schema.lanes]
        self._offset_ns: int | None = None

    def stepped(self, batch: Batch) -> bool:
        """Whether another wall clock stamped this batch than the ones before; remembers it.

        A batch comes from one clock: the pipeline cuts it where the clock was set.
        """
        if batch.boottime_ns is None or not batch.rows:
            return False
        was, now = self._offset_ns, int(batch.received_ns[0]) - int(batch.boottime_ns[0])
        if was is not None and abs(now - was) <= STEP_NS:
            return False
        self._offset_ns = now
        return was is not None

    def close(self, batch: Batch) -> Kept:
        """End every line, since the clock was set; give what was held, by the clock of `batch`.

        It goes behind the anchor of that clock, which is to describe it. A source time that is not
        nearer to the one clock's receipt than to the other's is the device's own, and stays.
        """
        assert batch.boottime_ns is not None
        columns = np.flatnonzero(self._held)
        held = self._give(columns)
        assert self._offset_ns is not None
        boottime_ns = self._seen_boottime_ns[columns]
        received_ns = boottime_ns + self._offset_ns
        moved_ns = received_ns - held.received_ns
        own = np.abs(held.times_ns - received_ns) < np.abs(held.times_ns - held.received_ns)
        times_ns = np.where(own, held.times_ns, held.times_ns + moved_ns)
        self._known[:] = False
        self._held[:] = False
        return held._replace(times_ns=times_ns, received_ns=received_ns, boottime_ns=boottime_ns)

    def step(self, wave: Wave) -> tuple[Kept, NDArray[np.bool_]]:
        """Take a wave: give what was held and passes now, and which of the wave pass at once."""
        at, known = wave.at, self._known[wave.at]
        rise, unlike, level = self._rise(wave)
        quality_changed = wave.quality != self._quality[at]
        usable = wave.quality & BAD_SEVERITY == 0
        since_ns = wave.times_ns - self._seen_ns[at]
        again = (since_ns == 0) & ~unlike & level  # a device that tells the same sample twice
        edge = ~known | quality_changed | (usable & unlike) | ((since_ns <= 0) & ~again)
        swings = usable & ~edge & ~again & ~self._exact[at] & np.isfinite(rise)
        run_ns = (wave.times_ns - self._pivot_ns[at]).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            slope = rise / run_ns
        fits = (slope >= self._low[at]) & (slope <= self._high[at])
        ends = swings & ~fits
        silent_ns = wave.received_ns - self._pivot_received_ns[at]
        silent = known & ((silent_ns >= self._silence_ns[at]) | (silent_ns < 0))
        keep: NDArray[np.bool_] = edge | silent
        # What is held ends a line that the new sample does not fit on, or that ends anyway.
        released = wave.columns[(edge | ends) & self._held[at]]
        held = self._give(released)
        self._turn(released, held)
        self._swing(wave, swings & ~keep, rise, run_ns, ends)
        self._remember(wave, swings, keep)
        return held, keep

    def _rise(self, wave: Wave) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Give how far each sample lies above its pivot, raw; nan where there is no line to it.

        And whether it is of another kind than its pivot, so that no line joins them; and whether it
        is the same as the last one seen.
        """
        rise = np.empty(len(wave.columns))
        unlike = np.zeros(len(wave.columns), np.bool_)
        level = np.empty(len(wave.columns), np.bool_)
        for number, given in enumerate(wave.values):
            rows, slots = wave.rows[number], wave.slots[number]
            kind = self._schema.lanes[number].type
            pivots, seens = self._pivots[number][slots], self._seens[number][slots]
            same = given == seens
            if kind in _EXACT:
                unlike[rows], rise[rows] = given != pivots, np.nan
            elif given.dtype.kind == "f":
                now = given.astype(np.float64)
                with np.errstate(invalid="ignore", over="ignore"):
                    apart = now - pivots
                rise[rows] = apart
                if not np.isfinite(apart).all():
                    alike = (now == pivots) | (np.isnan(now) & np.isnan(pivots))
                    unlike[rows] = ~np.isfinite(apart) & ~alike
                    same = same | (np.isnan(now) & np.isnan(seens))
            else:
                rise[rows] = _apart(given, pivots, wide=kind in _WIDE)
            level[rows] = same
        return rise, unlike, level

    def _give(self, columns: NDArray[np.intp]) -> Kept:
        """Give what was last seen of `columns`, as samples."""
        lane_of = self._schema.lane_of[columns]
        return Kept(
            columns,
            self._seen_ns[columns],
            self._seen_received_ns[columns],
            None if self._offset_ns is None else self._seen_boottime_ns[columns],
            self._quality[columns],
            tuple(
                seens[np.searchsorted(lane.columns, columns[lane_of == number])]
                for number, (seens, lane) in enumerate(
                    zip(self._seens, self._schema.lanes, strict=True)
                )
            ),
        )

    def _turn(self, columns: NDArray[np.intp], held: Kept) -> None:
        """Hang the doors of `columns` onto what was held of them."""
        if not len(columns):
            return
        self._held[columns] = False
        self._pivot_ns[columns] = held.times_ns
        self._pivot_received_ns[columns] = held.received_ns
        self._open(columns)
        lane_of = self._schema.lane_of[columns]
        for number, lane in enumerate(self._schema.lanes):
            own = columns[lane_of == number]
            self._pivots[number][np.searchsorted(lane.columns, own)] = held.values[number]
            self._measure(number, own, held.values[number])

    def _open(self, columns: NDArray[np.intp]) -> None:
        self._low[columns], self._high[columns] = -np.inf, np.inf

    def _measure(self, lane: int, columns: NDArray[np.intp], pivots: NDArray[Any]) -> None:
        """Fix the deviation of lines that begin with `pivots`, the values of a lane's `columns`."""
        if self._schema.lanes[lane].type in _EXACT:
            return
        with np.errstate(invalid="ignore", over="ignore"):
            size = np.abs(pivots.astype(np.float64) - self._base[columns])
            self._deviation[columns] = np.fmax(self._least[columns], self._share[columns] * size)

    def _swing(
        self,
        wave: Wave,
        swings: NDArray[np.bool_],
        rise: NDArray[np.float64],
        run_ns: NDArray[np.float64],
        ends: NDArray[np.bool_],
    ) -> None:
        """Close the doors to what passes within the deviation of these samples, too.

        `rise` and `run_ns` are from the pivots as they were before some lines ended.
        """
        at = wave.at
        turned = np.flatnonzero(swings & ends)
        if len(turned):
            again, _, _ = self._rise(wave)
            rise = np.where(ends, again, rise)
            run_ns = (wave.times_ns - self._pivot_ns[at]).astype(np.float64)
        deviation = self._deviation[at]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            low = np.fmax(self._low[at], (rise - deviation) / run_ns)
            high = np.fmin(self._high[at], (rise + deviation) / run_ns)
        self._low[at] = np.where(swings, low, self._low[at])
        self._high[at] = np.where(swings, high, self._high[at])

    def _remember(self, wave: Wave, swings: NDArray[np.bool_], keep: NDArray[np.bool_]) -> None:
        """Note what was seen, what of it is held, and the new pivots among it."""
        at = wave.at
        self._seen_ns[at] = wave.times_ns
        self._seen_received_ns[at] = wave.received_ns
        if wave.boottime_ns is not None:
            self._seen_boottime_ns[at] = wave.boottime_ns
        elif self._offset_ns is not None:
            self._seen_boottime_ns[at] = wave.received_ns - self._offset_ns
        self._quality[at] = wave.quality
        self._held[at] = np.where(keep, False, swings | self._held[at])  # noqa: FBT003 - numpy
        self._known[at] = True
        for number, given in enumerate(wave.values):
            self._seens[number][wave.slots[number]] = given
        if not keep.any():
            return
        columns = wave.columns[keep]
        self._pivot_ns[columns] = wave.times_ns[keep]
        self._pivot_received_ns[columns] = wave.received_ns[keep]
        self._open(columns)
        for number, given in enumerate(wave.values):
            rows = wave.rows[number]
            passes = keep[rows]
            pivots = self._pivots[number][wave.slots[number]]
            pivots[passes] = given[passes]
            self._pivots[number][wave.slots[number]] = pivots
            self._measure(number, wave.columns[rows[passes]], given[passes])


def _apart(now: NDArray[Any], pivots: NDArray[Any], *, wide: bool) -> NDArray[np.float64]:
    """Give `now - pivots` of integers; of 64-bit ones without rounding them first."""
    if not wide:
        narrow: NDArray[np.float64] = now.astype(np.float64) - pivots
        return narrow
    above = now >= pivots
    # The larger minus the smaller may wrap in a signed type; read as unsigned it is right.
    apart: NDArray[np.float64]
    apart = (np.maximum(now, pivots) - np.minimum(now, pivots)).view(np.uint64).astype(np.float64)
    return np.where(above, apart, -apart)
