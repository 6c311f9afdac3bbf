"""Fault 45: a plugin that hangs is ended at its deadline; what it had in hand is told as a Gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.plugin_faults import polled
from support.plugins import Bench, odd

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TOTAL = 12


async def test_fault_45_plugin_hang(tmp_path: Path) -> None:
    async with polled() as site:
        instance = odd(tmp_path / "odd", "hangs", {"deadline": 1.0})
        bench = Bench(tmp_path, instance, site.seams, total=TOTAL)
        async with bench.running() as host:
            await bench.until(lambda: bench.feed.gone)
            assert "gave no results within 1 s" in next(iter(bench.feed.gone.values()))
            assert host.status().failures.get("deadline", 0) >= 2
            assert host.status().failures.keys() == {"deadline"}
            (tmp_path / "odd" / "manner").write_text("good", encoding="utf-8")
            await bench.until(lambda: bench.cursor == [TOTAL])
    done, gone = bench.feed.sums, bench.feed.gone
    assert done.keys() | gone.keys() == set(range(TOTAL))
    assert host.status().windows_passed == len(gone)
