"""What expressions are computed over: the tags' samples, held onto common rows. Pure.

Owns holding, staleness and what is new. Numbers are float64; NaN stands for bad throughout.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from forebay_plugin import Series

Vector = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
NS = 1_000_000_000
UNCERTAIN = 0x4000_0000
_SEVERITY = 0xC000_0000

Last = tuple[int, float | None, bool]
"""A tag's last sample: time, value (None: bad), uncertain."""


@dataclass(frozen=True)
class Track:
    """One tag's samples in order of time, with the last one before them if it is known."""

    times: Times
    values: Vector
    uncertain: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, series: Series, before: Last | None) -> Track:
        """Put `before`, what was last in the windows until now, before a window's samples."""
        order = np.argsort(series.times_ns, kind="stable")
        times, values = series.times_ns[order], series.numbers()[order]
        values = np.where(np.isfinite(values), values, np.nan)
        uncertain = (series.quality[order] & np.uint32(_SEVERITY)) == UNCERTAIN
        if before is not None and (not len(times) or before[0] < times[0]):
            value = np.nan if before[1] is None else before[1]
            times = np.concatenate([[before[0]], times])
            values = np.concatenate([[value], values])
            uncertain = np.concatenate([[before[2]], uncertain])
        return cls(times, values, uncertain)

    def last(self) -> Last | None:
        """The newest sample."""
        if not len(self.times):
            return None
        value = float(self.values[-1])
        return int(self.times[-1]), None if np.isnan(value) else value, bool(self.uncertain[-1])

    def held(self, samples: npt.NDArray[Any], at: Times, stale_ns: int) -> Vector:
        """What `samples` (of this track) were last at each of `at`; NaN before the first.

        And NaN where the last sample is older than `stale_ns`, if that is not 0.
        """
        if not len(self.times):
            return np.full(len(at), np.nan)
        place = np.searchsorted(self.times, at, side="right") - 1
        known = place >= 0
        place = np.maximum(place, 0)
        if stale_ns:
            known &= at - self.times[place] <= stale_ns
        return np.where(known, samples[place], np.nan)

    def steps(self, *, per_second: bool) -> Vector:
        """Each value less the one before it, divided by the seconds between them if asked for."""
        found = np.full(len(self.values), np.nan)
        change = np.diff(self.values)
        if per_second:
            seconds = np.diff(self.times) / NS
            change = np.divide(change, seconds, out=np.full(len(change), np.nan), where=seconds > 0)
        found[1:] = change
        return found

    def age_s(self, at: Times) -> Vector:
        """Seconds since the last sample that had a value, at each of `at`."""
        good = self.times[~np.isnan(self.values)]
        place = np.searchsorted(good, at, side="right") - 1
        if not len(good):
            return np.full(len(at), np.nan)
        return np.where(place >= 0, (at - good[np.maximum(place, 0)]) / NS, np.nan)


@dataclass(frozen=True)
class Rows:
    """Rows that an expression gives a value for.

    Attributes:
        times: (rows) ascending; those that were not judged before.
        whole: (all rows) those of the whole window: what `mean` and its like look at.
        tracks: DEVICE/TAG -> its samples.
        stale_ns: a value that is older is bad; 0: none is.
        good_part: how much of what is aggregated must be good.
        memory: what `lasting` and `hysteresis` keep from window to window; they change it.
    """

    times: Times
    whole: Times
    tracks: Mapping[str, Track]
    stale_ns: int = 0
    good_part: float = 1.0
    memory: MutableMapping[str, Any] = field(default_factory=dict)

    def all_rows(self, tags: frozenset[str]) -> Rows:
        """The whole window's rows, from when every one of `tags` is known."""
        known = [self.tracks[tag].times[:1] for tag in tags]
        first = max((int(times[0]) for times in known if len(times)), default=0)
        times = self.whole[self.whole >= first]
        if any(not len(times) for times in known):
            times = times[:0]
        return Rows(times, times, self.tracks, self.stale_ns, self.good_part)

    def last_row(self) -> Rows:
        """The last of the rows alone."""
        return Rows(
            self.times[-1:], self.whole, self.tracks, self.stale_ns, self.good_part, self.memory
        )

    def uncertain(self, tags: frozenset[str]) -> npt.NDArray[np.bool_]:
        """(rows) whether one of `tags` holds a value in doubt."""
        found = np.zeros(len(self.times), bool)
        for tag in tags:
            track = self.tracks[tag]
            found |= track.held(track.uncertain.astype(np.float64), self.times, 0) == 1
        return found
