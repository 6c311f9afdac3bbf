"""Features of one block of samples. Pure: arrays in, numbers out.

Owns the formulas. `x` is always (rows,) float64, finite, evenly sampled, without its mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Block = npt.NDArray[np.float64]
NS = 1_000_000_000


class UnevenError(ValueError):
    """The block's times are no even grid: no frequency can be told from it."""


def rate_hz(times_ns: npt.NDArray[np.int64], jitter: float) -> float:
    """Give the sampling rate of (rows) times, at least 2.

    Raises:
        UnevenError: time goes back, or an interval differs from the median by more than the part
            `jitter` of it, as at a gap.
    """
    steps = np.diff(times_ns)
    usual = float(np.median(steps))
    if usual <= 0:
        raise UnevenError("its times do not go on: is it one block of one device?")
    off = np.abs(steps - usual)
    worst = int(off.argmax())
    if off[worst] > jitter * usual:
        raise UnevenError(
            f"not sampled evenly: {steps[worst] / NS:.6g} s between rows {worst} and {worst + 1}, "
            f"{usual / NS:.6g} s elsewhere"
        )
    return (len(times_ns) - 1) * NS / float(times_ns[-1] - times_ns[0])


def in_time(x: Block) -> dict[str, float]:
    """RMS, peak, peak to peak, and where it is not constant crest factor, kurtosis and skewness.

    Kurtosis is the fourth standardized moment of the population: 3 for a normal distribution, 1.5
    for a sine.
    """
    square = float(np.mean(x**2))
    found = {"rms": square**0.5, "peak": float(np.abs(x).max()), "peak_to_peak": float(np.ptp(x))}
    if square > 0:
        found["crest"] = found["peak"] / found["rms"]
        found["kurtosis"] = float(np.mean(x**4)) / square**2
        found["skewness"] = float(np.mean(x**3)) / square**1.5
    return found


@dataclass(frozen=True)
class Spectrum:
    """A one-sided spectrum under a Hann window.

    Attributes:
        step_hz: distance of two lines.
        power: (lines) mean square of each line; over all lines it is the block's, but for what the
            window weighs otherwise.
    """

    step_hz: float
    power: Block

    @property
    def hz(self) -> Block:
        """(lines) frequencies."""
        return np.arange(len(self.power), dtype=np.float64) * self.step_hz

    def band_rms(self, low_hz: float, high_hz: float) -> float:
        """RMS of what lies from `low_hz` up to, not including, `high_hz`."""
        hz = self.hz
        return float(np.sqrt(self.power[(hz >= low_hz) & (hz < high_hz)].sum()))

    def strongest_hz(self) -> float | None:
        """Frequency of the strongest line, refined between lines; None if there is no power.

        A parabola through the logarithms of the three highest lines, good to some hundredths of a
        line for a sine under a Hann window.
        """
        top = 1 + int(self.power[1:].argmax())
        if self.power[top] <= 0:
            return None
        near = self.power[top - 1 : top + 2]
        if len(near) < 3 or not (near > 0).all():
            return top * self.step_hz
        left, middle, right = np.log(near)
        bend = left - 2 * middle + right
        shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
        return float((top + shift) * self.step_hz)

    def amplitude(self, hz: float, width: float) -> float:
        """Peak amplitude of the strongest sine within the part `width` of `hz`, one line at least.

        Five lines around the highest hold more than 0.999 of a sine's power under a Hann window,
        wherever it lies between them.
        """
        reach = max(1, round(hz * width / self.step_hz))
        centre = round(hz / self.step_hz)
        low, high = max(1, centre - reach), min(len(self.power), centre + reach + 1)
        if low >= high:
            return 0.0
        top = low + int(self.power[low:high].argmax())
        return float(np.sqrt(2 * self.power[max(1, top - 2) : top + 3].sum()))


def spectrum(x: Block, rate: float) -> Spectrum:
    """Give the spectrum of `x`, sampled with `rate` in Hz."""
    rows = len(x)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(rows) / rows)
    lines = np.abs(np.fft.rfft(x * hann)) ** 2
    lines[1 : (rows + 1) // 2] *= 2  # the other side, but for 0 Hz and half the rate
    weight = float((hann**2).sum())
    return Spectrum(rate / rows, lines / (rows * weight))


def envelope(x: Block, rate: float, low_hz: float, high_hz: float) -> Block:
    """Give how strong `x` is between two frequencies, (rows), without its mean.

    The absolute value of the analytic signal of that band: knocks that excite a resonance show as
    what repeats in it, with the rate of the bearing's fault.
    """
    rows = len(x)
    lines = np.fft.fft(x)
    hz = np.fft.fftfreq(rows, 1 / rate)
    lines[(hz < low_hz) | (hz >= high_hz)] = 0
    strength: Block = np.abs(2 * np.fft.ifft(lines))
    return strength - float(strength.mean())
