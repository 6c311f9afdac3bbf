"""What the asset should do: a fitted line through lagged inputs, or first principles. Pure.

A model gives the target for rows of inputs. Must not know tags, windows or alarms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
G = 9.80665
"""Standard gravity in m/s² (ISO 80000-3)."""
SECONDS_AN_HOUR = 3600.0


class Model(Protocol):
    """What gives the target."""

    @property
    def before(self) -> int:
        """Rows before the first that are needed."""
        ...

    def __call__(self, inputs: Numbers, target: Numbers, times_s: Numbers) -> Numbers:
        """(rows - before) of (rows, inputs), the measured (rows) target and (rows) times."""
        ...


@dataclass(frozen=True)
class Fitted:
    """target = offset + sum over lags of inputs · weights: a finite impulse response.

    The target's own past is no input: it would follow every drift that is to be found.

    Attributes:
        weights: (lags, inputs), lag 0 first; or (lags, inputs and their squares).
    """

    offset: float
    weights: Numbers

    @property
    def before(self) -> int:
        """Rows before the first that are needed."""
        return len(self.weights) - 1

    def __call__(self, inputs: Numbers, target: Numbers, times_s: Numbers) -> Numbers:  # noqa: ARG002 - other models need them
        """Give the target of each row that has all its lags."""
        inputs = terms(inputs, squares=self.weights.shape[1] > inputs.shape[1])
        rows = len(inputs) - self.before
        given: Numbers = np.full(rows, self.offset)
        for lag, weights in enumerate(self.weights):
            begin = self.before - lag
            given = given + inputs[begin : begin + rows] @ weights
        return given


def terms(inputs: Numbers, *, squares: bool) -> Numbers:
    """Give (rows, inputs), or beside them their squares."""
    return np.concatenate([inputs, inputs**2], axis=1) if squares else inputs


@dataclass(frozen=True)
class How:
    """How to fit: rows of each input, the weight of small weights, squares beside the inputs."""

    lags: int
    ridge: float
    squares: bool


def fit(inputs: Numbers, target: Numbers, how: How) -> Fitted:
    """Fit by ridge regression (A. Hoerl, R. Kennard, 1970) on standardised columns.

    Rows are consecutive; one with NaN costs the rows that look back on it.

    Raises:
        ValueError: fewer whole rows than twice the weights.
    """
    inputs, lags, ridge = terms(inputs, squares=how.squares), how.lags, how.ridge
    rows = len(inputs) - lags + 1
    columns = [inputs[lags - 1 - lag : lags - 1 - lag + rows] for lag in range(lags)]
    x, y = np.concatenate(columns, axis=1), target[lags - 1 :]
    whole = ~np.isnan(x).any(axis=1) & ~np.isnan(y)
    x, y = x[whole], y[whole]
    if len(x) < 2 * x.shape[1] + 2:
        raise ValueError(f"{len(x)} whole rows are too few for {x.shape[1]} weights")
    mean, spread = x.mean(axis=0), x.std(axis=0)
    moves = spread > 1e-9 * np.maximum(np.abs(mean), 1e-9)
    z = np.where(moves, (x - mean) / np.where(moves, spread, 1.0), 0.0)
    level = float(y.mean())
    solved = np.linalg.solve(z.T @ z + ridge * len(z) * np.eye(z.shape[1]), z.T @ (y - level))
    weights = np.where(moves, solved / np.where(moves, spread, 1.0), 0.0)
    return Fitted(level - float(mean @ weights), weights.reshape(lags, -1))


@dataclass(frozen=True)
class PumpHead:
    """Head of a centrifugal pump in m from flow in m³/h and, if there is one, speed in 1/min.

    H = (n/n0)² · head_zero - bend · Q²: the affinity laws (ISO 9906, 6.1.2), with the curve's
    parabola.
    """

    head_zero: float
    bend: float
    speed: float
    before: int = 0

    def __call__(self, inputs: Numbers, target: Numbers, times_s: Numbers) -> Numbers:  # noqa: ARG002 - other models need them
        """Give the head of each row."""
        ratio = inputs[:, 1] / self.speed if inputs.shape[1] > 1 else np.ones(len(inputs))
        head: Numbers = self.head_zero * ratio**2 - self.bend * inputs[:, 0] ** 2
        return head


@dataclass(frozen=True)
class PumpPower:
    """Shaft power of a pump in kW from flow in m³/h and head in m: rho · g · Q · H / efficiency."""

    density: float
    efficiency: float
    before: int = 0

    def __call__(self, inputs: Numbers, target: Numbers, times_s: Numbers) -> Numbers:  # noqa: ARG002 - other models need them
        """Give the power of each row."""
        flow = inputs[:, 0] / SECONDS_AN_HOUR
        power: Numbers = self.density * G * flow * inputs[:, 1] / self.efficiency / 1000
        return power


@dataclass(frozen=True)
class Tank:
    """Level of a tank in m from flow in and, if there is one, out, in m³/h: mass balance.

    Each row from the level measured `before` rows before it: over a longer time a leak is more, and
    the noise of a reading is not.
    """

    area: float
    before: int = 60

    def __call__(self, inputs: Numbers, target: Numbers, times_s: Numbers) -> Numbers:
        """Give the level of each row that has one so long before it."""
        net = inputs[:, 0] - (inputs[:, 1] if inputs.shape[1] > 1 else 0.0)
        mean = (net[1:] + net[:-1]) / 2
        parts = mean * np.diff(times_s) / SECONDS_AN_HOUR / self.area
        steps = np.lib.stride_tricks.sliding_window_view(parts, self.before).sum(axis=1)
        level: Numbers = target[: -self.before] + steps
        return level
