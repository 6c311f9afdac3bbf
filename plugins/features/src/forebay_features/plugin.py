"""The plugin: settings checked, blocks checked, features under the names of its outputs.

Owns which block is refused and why. Formulas are in `signals`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay_features.signals import UnevenError, envelope, in_time, rate_hz, spectrum
from forebay_plugin import Plugin, PluginError, Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from forebay_features.signals import Block
    from forebay_plugin import Series, Setup, Window

_log = logging.getLogger(__name__)
ROWS_LEAST = 16
RATE_ERROR = 1e-3
"""How far a rate that is told from times in whole nanoseconds or worse may be off, as a part."""
BANDS_MAX, LINES_MAX = 8, 4
Band = tuple[float, float]


@dataclass(frozen=True)
class Settings:
    """The plugin's settings; see plugin.toml."""

    jitter: float
    bands: Sequence[Band]
    envelope: Band | None
    lines: Sequence[float]
    lines_width: float

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Settings:
        """Check what a person set. Raises PluginError."""
        unknown = given.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise PluginError(f"settings.{min(unknown)}: unknown; see plugin.toml")
        bands = [_band("bands", band) for band in given.get("bands", [])]
        demodulated = given.get("envelope") or None
        lines = [_number("lines", line) for line in given.get("lines", [])]
        if len(bands) > BANDS_MAX or len(lines) > LINES_MAX:
            raise PluginError(f"settings: {BANDS_MAX} bands and {LINES_MAX} lines at most")
        if lines and not demodulated:
            raise PluginError("settings.lines: need an envelope band, such as [2000.0, 6000.0]")
        return cls(
            jitter=_number("jitter", given.get("jitter", 0.1)),
            bands=bands,
            envelope=_band("envelope", demodulated) if demodulated else None,
            lines=lines,
            lines_width=_number("lines_width", given.get("lines_width", 0.02)),
        )


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise PluginError(f"settings.{name}: {value!r} is no number over 0")
    return float(value)


def _band(name: str, value: object) -> Band:
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
        raise PluginError(f"settings.{name}: {value!r} is not [from, to] in Hz")
    low, high = map(float, value)
    if not 0 <= low < high < 1e9:
        raise PluginError(f"settings.{name}: {value!r} must rise, from 0 on")
    return low, high


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class Features(Plugin):
    """Features of each block of each channel: `rms` of the first, `rms_2` of the second, ..."""

    def setup(self, setup: Setup) -> dict[str, str]:
        """Check the settings; a channel without any output is told, and does no harm."""
        self._settings = Settings.of(setup.settings)
        self._wanted = {output.name for output in setup.outputs}
        tags = setup.tags("vibration")
        silent = [
            tag
            for number, tag in enumerate(tags[1:], start=2)
            if not any(name.endswith(f"_{number}") for name in self._wanted - _NUMBERED)
        ]
        facts = {"channels": ", ".join(tags), "bands": str(len(self._settings.bands))}
        if silent:
            _log.warning("no outputs are declared for %s: see README.md", ", ".join(silent))
            facts["without outputs"] = ", ".join(silent)
        return facts

    def process(self, window: Window) -> Iterator[Result]:
        """Give all features that are among the outputs."""
        for number, series in enumerate(window.role("vibration"), start=1):
            suffix = "" if number == 1 else f"_{number}"
            for name, value in self._features(series).items():
                if name + suffix in self._wanted:
                    yield Result(name + suffix, value)

    def _features(self, series: Series) -> dict[str, float]:
        samples, rate = self._block(series)
        mean = float(samples.mean())
        x = samples - mean
        found = {"mean": mean, **in_time(x)}
        lines = spectrum(x, rate)
        strongest = lines.strongest_hz()
        if strongest is not None:
            found["frequency"] = strongest
        for number, band in enumerate(self._settings.bands, start=1):
            _within(series.tag, band, rate)
            found[f"band_{number}"] = lines.band_rms(*band)
        if self._settings.envelope is not None:
            found.update(self._envelope(series.tag, x, rate, self._settings.envelope))
        return found

    def _envelope(self, tag: str, x: Block, rate: float, band: Band) -> dict[str, float]:
        _within(tag, band, rate)
        lines = spectrum(envelope(x, rate, *band), rate)
        strongest = lines.strongest_hz()
        if strongest is None:
            return {}
        found = {"envelope_hz": strongest, "envelope_peak": lines.amplitude(strongest, 0.0)}
        for number, hz in enumerate(self._settings.lines, start=1):
            found[f"line_{number}"] = lines.amplitude(hz, self._settings.lines_width)
        return found

    def _block(self, series: Series) -> tuple[Block, float]:
        if len(series) < ROWS_LEAST:
            raise PluginError(f"{series.tag}: {len(series)} rows are no block, {ROWS_LEAST} are")
        bad = int((~series.good).sum())
        if bad:
            raise PluginError(f"{series.tag}: {bad} of {len(series)} rows have no value")
        samples = series.numbers()
        if not np.isfinite(samples).all():
            raise PluginError(f"{series.tag}: not all values are finite")
        try:
            return samples, rate_hz(series.times_ns, self._settings.jitter)
        except UnevenError as uneven:
            raise PluginError(f"{series.tag}: {uneven}") from uneven


_NUMBERED = frozenset(
    [f"band_{number}" for number in range(1, BANDS_MAX + 1)]
    + [f"line_{number}" for number in range(1, LINES_MAX + 1)]
)
"""Outputs of the first channel whose names end like those of other channels."""


def _within(tag: str, band: Band, rate: float) -> None:
    if band[1] > rate / 2 * (1 + RATE_ERROR):
        raise PluginError(
            f"{tag}: sampled with {rate:.6g} Hz, so nothing is known over {rate / 2:.6g} Hz, and "
            f"the band {band[0]:g} to {band[1]:g} Hz is wanted"
        )
