"""Figures of signals that are known in closed form, and blocks that must be refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forebay_features.plugin import Features
from forebay_plugin import BAD, Kind, Output, PluginError, Type
from forebay_plugin.manifest import Declared, load
from forebay_plugin.testing import Frame, Ran, run, run_process

MANIFEST = Path(__file__).resolve().parents[1]
ROWS, RATE = 2048, 5120.0
TAG = "motor/Vibration"


def seconds(rows: int = ROWS) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.arange(rows) / RATE


def features(values: Any, **settings: Any) -> dict[str, float]:
    ran = ran_on(values, **settings)
    assert not ran.failures
    assert not ran.refused
    return {name: float(got.values[0]) for name, got in ran.outputs.items() if len(got)}


def ran_on(values: Any, quality: Any = None, **settings: Any) -> Ran:
    codes = {TAG: quality} if quality is not None else None
    frame = Frame.sampled({TAG: values}, rate_hz=RATE, quality=codes)
    return run(Features, MANIFEST, [frame], settings=settings)


def test_a_sine() -> None:
    found = features(3.0 + 2.0 * np.sin(2 * np.pi * 100 * seconds()))
    assert found["mean"] == pytest.approx(3.0)
    assert found["rms"] == pytest.approx(2 / np.sqrt(2))
    assert found["peak"] == pytest.approx(2.0, rel=1e-3)
    assert found["peak_to_peak"] == pytest.approx(4.0, rel=1e-3)
    assert found["crest"] == pytest.approx(np.sqrt(2), rel=1e-3)
    assert found["kurtosis"] == pytest.approx(1.5)
    assert found["skewness"] == pytest.approx(0.0, abs=1e-9)
    assert found["frequency"] == pytest.approx(100.0)


@pytest.mark.parametrize("hz", [97.3, 512.9, 1999.1])
def test_a_sine_between_two_lines_is_found_to_a_part_of_a_line(hz: float) -> None:
    found = features(np.sin(2 * np.pi * hz * seconds()))
    assert found["frequency"] == pytest.approx(hz, abs=0.05 * RATE / ROWS)


def test_a_square_wave_and_its_odd_harmonics() -> None:
    """Amplitude of harmonic k is 4 / (pi k): the first bands hold the first, third and fifth."""
    square = np.where((seconds() * 40) % 1 < 0.5, 1.0, -1.0)
    found = features(square, bands=[[20.0, 60.0], [60.0, 100.0], [100.0, 140.0]])
    assert found["crest"] == pytest.approx(1.0)
    assert found["kurtosis"] == pytest.approx(1.0)
    assert found["band_1"] == pytest.approx(4 / np.pi / np.sqrt(2), rel=2e-3)
    assert found["band_2"] == pytest.approx(0.0, abs=1e-3)
    assert found["band_3"] == pytest.approx(4 / (3 * np.pi) / np.sqrt(2), rel=2e-2)


def test_bands_share_out_the_power_of_noise() -> None:
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 2.0, ROWS)
    found = features(noise, bands=[[0.0, 640.0], [640.0, 1280.0], [1280.0, 2560.0]])
    total = sum(found[f"band_{number}"] ** 2 for number in (1, 2, 3)) ** 0.5
    assert total == pytest.approx(found["rms"], rel=0.1)
    assert found["band_3"] == pytest.approx(2.0 / np.sqrt(2), rel=0.1)
    assert found["kurtosis"] == pytest.approx(3.0, abs=0.4)


def test_the_envelope_finds_the_rate_of_knocks() -> None:
    """A resonance of 1800 Hz that is struck 64 times a second, under a strong shaft at 25 Hz."""
    t = seconds()
    since = t % (1 / 64)
    knocks = np.exp(-since * 300) * np.sin(2 * np.pi * 1800 * since)
    rough = knocks + 3 * np.sin(2 * np.pi * 25 * t)
    found = features(rough, envelope=[1300.0, 2300.0], lines=[64.0, 90.0])
    assert found["frequency"] == pytest.approx(25.0, abs=0.5)
    assert found["envelope_hz"] == pytest.approx(64.0, abs=0.5)
    assert found["line_1"] == pytest.approx(found["envelope_peak"], rel=1e-6)
    assert found["line_1"] > 10 * found["line_2"]
    assert found["kurtosis"] < features(knocks)["kurtosis"]


def test_the_amplitude_of_a_modulation() -> None:
    """An envelope of 1 + 0.4 sin at 60 Hz: a line of 0.4 at 60 Hz."""
    t = seconds()
    carrier = (1 + 0.4 * np.sin(2 * np.pi * 60 * t)) * np.sin(2 * np.pi * 1500 * t)
    found = features(carrier, envelope=[1200.0, 1800.0], lines=[60.0])
    assert found["line_1"] == pytest.approx(0.4, rel=1e-2)
    assert found["envelope_hz"] == pytest.approx(60.0, abs=0.1)


def test_a_constant_has_no_shape() -> None:
    found = features(np.full(ROWS, 7.0))
    assert found["rms"] == 0.0
    assert {"crest", "kurtosis", "skewness", "frequency"}.isdisjoint(found)


def test_every_block_has_its_figures_at_its_last_moment() -> None:
    values = np.concatenate([np.full(ROWS, 1.0), np.sin(2 * np.pi * 50 * seconds())])
    ran = ran_on(values)
    assert list(ran["rms"].values) == pytest.approx([0.0, 1 / np.sqrt(2)])
    assert ran["rms"].times_ns[1] - ran["rms"].times_ns[0] == round(ROWS / RATE * 1e9)


def test_whole_numbers_and_bools_are_blocks_too() -> None:
    counts = (1000 * np.sin(2 * np.pi * 100 * seconds())).astype(np.int16)
    assert features(counts)["rms"] == pytest.approx(1000 / np.sqrt(2), rel=1e-3)


def refusal(times_ns: Any, values: Any, quality: Any = None) -> str:
    frame = Frame(times_ns, {TAG: values}, {TAG: quality} if quality is not None else None)
    ran = run(Features, MANIFEST, [frame])
    assert not len(ran["rms"])
    ((_, why),) = ran.failures
    return why


def test_blocks_that_cannot_be_judged_are_refused_and_say_why() -> None:
    wave = np.sin(2 * np.pi * 100 * seconds())
    even = Frame.sampled({TAG: wave}, rate_hz=RATE).times_ns
    gap = even + np.where(np.arange(ROWS) > 1000, 10_000_000, 0)
    assert "not sampled evenly: 0.0101953 s between rows 1000 and 1001" in refusal(gap, wave)
    back = np.concatenate([even[ROWS // 2 :], even[: ROWS // 2]])
    assert "not sampled evenly" in refusal(back, wave)
    assert "do not go on" in refusal(np.full(ROWS, even[0]), wave)
    codes = np.where(np.arange(ROWS) < 3, BAD, 0)
    assert "3 of 2048 rows have no value" in refusal(even, wave, codes)
    assert "not all values are finite" in refusal(even, np.where(wave > 0.99, np.inf, wave))


def test_a_band_that_the_rate_cannot_show_is_refused() -> None:
    ran = ran_on(np.sin(2 * np.pi * 100 * seconds()), bands=[[100.0, 3000.0]])
    ((_, why),) = ran.failures
    assert "sampled with 5120 Hz, so nothing is known over 2560 Hz" in why


def test_a_refused_block_costs_its_neighbours_nothing() -> None:
    wave = np.tile(np.sin(2 * np.pi * 100 * seconds()), 3)
    codes = np.where(np.arange(len(wave)) == ROWS + 5, BAD, 0)
    ran = ran_on(wave, codes)
    assert [number for number, _ in ran.failures] == [2]
    assert len(ran["rms"]) == 2


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"bands": [[100.0, 50.0]]}, "must rise"),
        ({"bands": [[1.0]]}, "is not \\[from, to\\] in Hz"),
        ({"bands": [[float(n), n + 1.0] for n in range(9)]}, "8 bands"),
        ({"lines": [50.0]}, "need an envelope band"),
        ({"jitter": 0}, "no number over 0"),
        ({"band": []}, "settings.band: unknown"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(PluginError, match=why):
        ran_on(np.zeros(ROWS), **settings)


def test_a_second_channel_gives_what_is_declared_for_it() -> None:
    quiet, loud = np.zeros(ROWS), np.sin(2 * np.pi * 100 * seconds())
    frame = Frame.sampled({TAG: quiet, "motor/Vibration2": loud}, rate_hz=RATE)
    silent = run(Features, MANIFEST, [frame])
    assert silent.facts["without outputs"] == "motor/Vibration2"
    assert list(silent["rms"].values) == [0.0]
    manifest = load(MANIFEST)
    second = Declared(Output("rms_2", Kind.TAG, Type.FLOAT64))
    ran = run(Features, replace(manifest, outputs=[*manifest.outputs, second]), [frame])
    assert "without outputs" not in ran.facts
    assert list(ran["rms_2"].values) == pytest.approx([1 / np.sqrt(2)])


def test_the_real_process_gives_the_same_figures() -> None:
    frame = Frame.sampled({TAG: np.sin(2 * np.pi * 100 * seconds(4 * ROWS))}, rate_hz=RATE)
    here, there = run(Features, MANIFEST, [frame]), run_process(MANIFEST, [frame])
    assert there.windows == here.windows == 4
    assert here["rms"].values.tobytes() == there["rms"].values.tobytes()
    assert here["frequency"].values.tobytes() == there["frequency"].values.tobytes()
