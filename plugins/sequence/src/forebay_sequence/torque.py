"""A tightening curve against its limits: torque over angle. Pure.

Owns what is read from a curve and what is wrong with it. The words are those of VDI/VDE 2647: the
run-down with its prevailing torque, the snug torque from which the angle counts, yield, the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

Vector = npt.NDArray[np.float64]
GRID = 33
"""Points of angle at which an envelope is taught and compared."""
Band = tuple[float, float]


@dataclass(frozen=True)
class Envelope:
    """The band that a curve must stay in, from the snug point on.

    Attributes:
        teach: so many curves that are well otherwise make the reference; 0 with `points`.
        points: ((angle, torque), ...) as the reference instead, angle from the snug point.
        sigma, least: half the band is `sigma` standard deviations of the taught, or `least` of
            torque if that is more.
        span: angle from the snug point over which it is compared.
        outside: part of the compared points that may lie outside.
    """

    span: float
    teach: int = 0
    points: tuple[tuple[float, float], ...] = ()
    sigma: float = 4.0
    least: float = 0.0
    outside: float = 0.1

    def grid(self) -> Vector:
        """(GRID) angles from the snug point."""
        return np.linspace(0.0, self.span, GRID)


@dataclass(frozen=True)
class Limits:
    """What a curve must keep; None: it is not looked at.

    Attributes:
        snug: torque from which the angle counts.
        torque, angle: final torque, and final angle from the snug point.
        prevailing: highest median torque of the run-down, before the snug point.
        drop: most that the torque may fall from its highest until then, in torque.
        yielding: "ignore", "forbid" or "require" that the slope falls under `yield_part` of its
            steepest at the end.
        span: angle over which a slope is taken.
        points: fewer than these are no curve.
    """

    snug: float
    torque: Band | None = None
    angle: Band | None = None
    prevailing: float | None = None
    drop: float | None = None
    yielding: str = "ignore"
    yield_part: float = 0.5
    span: float = 5.0
    points: int = 10
    envelope: Envelope | None = None


@dataclass
class Taught:
    """Running mean and squares of curves on the envelope's grid (Welford)."""

    count: int = 0
    mean: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)

    def learn(self, curve: Vector) -> None:
        """Add one curve (GRID)."""
        if not self.mean:
            self.mean, self.squares = [0.0] * len(curve), [0.0] * len(curve)
        self.count += 1
        mean, squares = np.array(self.mean), np.array(self.squares)
        off = curve - mean
        mean = mean + off / self.count
        self.mean, self.squares = mean.tolist(), (squares + off * (curve - mean)).tolist()

    def deviation(self) -> Vector:
        """(GRID) standard deviation of what was learnt."""
        return np.asarray(np.sqrt(np.array(self.squares) / max(self.count - 1, 1)), np.float64)


@dataclass(frozen=True)
class Judged:
    """What was read from a curve.

    Attributes:
        wrong: (code, text) of each limit that is not kept.
        readings: name -> figure, for the record of the unit.
        doubt: why it cannot be judged; empty if it can.
        shape: (GRID) torque over the envelope's grid, if there is an envelope to teach.
    """

    wrong: tuple[tuple[str, str], ...] = ()
    readings: dict[str, float] = field(default_factory=dict)
    doubt: str = ""
    shape: Vector | None = None


def judge(points: Sequence[Sequence[float]], limits: Limits, taught: Taught) -> Judged:
    """Judge (rows, 2) torque and angle in the order in which they came."""
    if len(points) < limits.points:
        return Judged(doubt=f"{len(points)} points are no curve, {limits.points} are needed")
    held = np.asarray(points, np.float64)
    torque, angle = held[:, 0], np.maximum.accumulate(held[:, 1])
    if float(angle[-1]) <= float(angle[0]):
        return Judged(doubt="the angle did not move")
    end = int(np.argmax(torque))
    start = _snug(torque, end, limits.snug)
    if start is None:
        text = f"the torque reached {torque[end]:.3g}, not the snug torque {limits.snug:g}"
        return Judged((("torque-never-reached", text),), {"torque": float(torque[end])})
    tight, turned = torque[start:], angle[start:] - angle[start]
    final, final_angle = float(torque[end]), float(turned[end - start])
    readings = {"torque": final, "angle": final_angle}
    wrong = [
        *_outside("torque", final, limits.torque),
        *_outside("angle", final_angle, limits.angle),
        *_prevailing(torque[:start], limits, readings),
        *_dropped(tight[: end - start + 1], limits, readings),
        *_yielding(turned[: end - start + 1], tight[: end - start + 1], limits, readings),
    ]
    shape = None
    if limits.envelope is not None:
        shape = _shape(turned, tight, end - start, limits.envelope)
        wrong += _off(shape, limits.envelope, taught, readings)
    return Judged(tuple(wrong), readings, shape=shape)


def _snug(torque: Vector, end: int, snug: float) -> int | None:
    """The first row from which the torque stays at `snug` or over it until its highest."""
    under = np.flatnonzero(torque[: end + 1] < snug)
    first = int(under[-1]) + 1 if len(under) else 0
    return first if first <= end else None


def _outside(name: str, value: float, band: Band | None) -> list[tuple[str, str]]:
    if band is None or band[0] <= value <= band[1]:
        return []
    code = f"{name}-{'low' if value < band[0] else 'high'}"
    return [(code, f"final {name} {value:.4g} is not in {band[0]:g} to {band[1]:g}")]


def _prevailing(
    before: Vector, limits: Limits, readings: dict[str, float]
) -> list[tuple[str, str]]:
    if limits.prevailing is None or len(before) == 0:
        return []
    seen = readings["prevailing"] = float(np.median(before))
    if seen <= limits.prevailing:
        return []
    return [("prevailing", f"prevailing torque {seen:.3g} is over {limits.prevailing:g}")]


def _dropped(tight: Vector, limits: Limits, readings: dict[str, float]) -> list[tuple[str, str]]:
    if limits.drop is None:
        return []
    most = readings["drop"] = float(np.max(np.maximum.accumulate(tight) - tight))
    if most <= limits.drop:
        return []
    return [("not-monotonic", f"the torque fell by {most:.3g} on its way up, over {limits.drop:g}")]


def _yielding(
    turned: Vector, tight: Vector, limits: Limits, readings: dict[str, float]
) -> list[tuple[str, str]]:
    """Compare the slope over the last `span` of angle with the steepest over any."""
    if limits.yielding == "ignore":
        return []
    slopes = _slopes(turned, tight, limits.span)
    if len(slopes) == 0 or slopes.max() <= 0:
        return [("no-slope", f"the torque rose over less than {limits.span:g} of angle")]
    part = readings["slope_part"] = float(slopes[-1] / slopes.max())
    yields = part < limits.yield_part
    if yields == (limits.yielding == "require"):
        return []
    word = "yielded" if yields else "did not yield"
    return [("yield", f"it {word}: slope at the end is {part:.2f} of the steepest")]


def _slopes(turned: Vector, tight: Vector, span: float) -> Vector:
    """Least-squares slopes over `span` of angle, one for each row that has as much before it."""
    found = []
    for row in np.flatnonzero(turned >= span):
        first = int(np.searchsorted(turned, turned[row] - span))
        x, y = turned[first : row + 1], tight[first : row + 1]
        x = x - x.mean()
        below = float(x @ x)
        if len(x) >= 3 and below > 0:
            found.append(float(x @ (y - y.mean())) / below)
    return np.array(found)


def _shape(turned: Vector, tight: Vector, end: int, envelope: Envelope) -> Vector:
    """(GRID) torque over the grid; NaN behind the end of the curve."""
    angles, first = np.unique(turned[: end + 1], return_index=True)
    grid = envelope.grid()
    shape = np.interp(grid, angles, tight[: end + 1][first])
    shape[grid > angles[-1]] = np.nan
    return np.asarray(shape, np.float64)


def _off(
    shape: Vector, envelope: Envelope, taught: Taught, readings: dict[str, float]
) -> list[tuple[str, str]]:
    if envelope.points:
        at, torque = np.array(envelope.points).T
        middle, half = np.interp(envelope.grid(), at, torque), np.full(GRID, envelope.least)
    elif taught.count < envelope.teach:
        return []
    else:
        middle = np.array(taught.mean)
        half = np.maximum(envelope.sigma * taught.deviation(), envelope.least)
    seen = ~np.isnan(shape)
    outside = np.abs(shape[seen] - middle[seen]) > half[seen]
    part = readings["outside"] = float(outside.mean()) if len(outside) else 1.0
    if part <= envelope.outside:
        return []
    return [("envelope", f"{part:.0%} of the curve lie outside of the envelope")]


def learn(judged: Judged, limits: Limits, taught: Taught) -> Taught:
    """Teach with a curve that was well, while there is something to teach."""
    envelope = limits.envelope
    if envelope is None or judged.shape is None or taught.count >= envelope.teach:
        return taught
    filled: Any = judged.shape
    if np.isnan(filled).any():  # a curve that ends earlier goes on as it ended
        last = filled[~np.isnan(filled)]
        if not len(last):
            return taught
        filled = np.where(np.isnan(filled), last[-1], filled)
    taught.learn(filled)
    return taught
