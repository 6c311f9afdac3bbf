"""Fault 44: a plugin that dies each time.

It is started again after growing waits, then left alone for a while; polls keep their period; what
it did not get to is worked on once it is repaired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.events import PLUGIN_CIRCUIT_OPENED, PLUGIN_FAILED
from support.plugin_faults import polled
from support.plugins import QUICK, Bench, odd, sums

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TOTAL = 40


async def test_fault_44_a_plugin_that_never_starts(tmp_path: Path) -> None:
    async with polled() as site:
        bench = Bench(tmp_path, odd(tmp_path / "odd", "stillborn"), site.seams, total=TOTAL)
        async with bench.running() as host:
            await bench.until(lambda: site.events.count(PLUGIN_FAILED) > QUICK.failures)
            opened = site.events.count(PLUGIN_CIRCUIT_OPENED)
            (tmp_path / "odd" / "manner").write_text("good", encoding="utf-8")
            await bench.until(lambda: bench.cursor == [TOTAL])
            assert host.status().circuit == "closed"
    assert opened == 1, "told once, however many probes failed"
    assert bench.feed.sums == sums(bench.feed, TOTAL), "nothing is lost"
    assert not bench.feed.gone


async def test_fault_44_a_plugin_that_dies_at_work(tmp_path: Path) -> None:
    async with polled() as site:
        bench = Bench(tmp_path, odd(tmp_path / "odd", "exits"), site.seams, total=TOTAL)
        async with bench.running() as host:
            await bench.until(lambda: host.status().circuit == "open")
            assert host.status().failures == {"exit": QUICK.failures}
            assert "status 7" in host.status().last_error
            (tmp_path / "odd" / "manner").write_text("good", encoding="utf-8")
            await bench.until(lambda: bench.cursor == [TOTAL])
    done, gone = bench.feed.sums, bench.feed.gone
    assert done.keys() | gone.keys() == set(range(TOTAL)), "each is computed, or told as a gap"
    assert not done.keys() & gone.keys()
    assert len(gone) <= QUICK.failures // 2 + 1, "the circuit bounds what is given up"


async def test_fault_44_a_plugin_that_dies_of_fatigue(tmp_path: Path) -> None:
    """It works a while after each start: it is slowed down, and nothing is given up."""
    async with polled() as site:
        bench = Bench(tmp_path, odd(tmp_path / "odd", "tired"), site.seams, total=TOTAL, batch=1)
        async with bench.running() as host:
            await bench.until(lambda: bench.cursor == [TOTAL])
            assert host.status().failures["exit"] >= QUICK.failures
    assert bench.feed.sums == sums(bench.feed, TOTAL)
