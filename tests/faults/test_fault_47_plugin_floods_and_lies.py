"""Fault 47: a plugin that prints without end, sends too much, not a number, or ids of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.events import PLUGIN_REFUSED
from forebay.pluginhost.logs import FILE_BYTES, KEPT_LINES
from support.plugin_faults import polled
from support.plugins import Bench, odd

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TOTAL = 8


async def test_fault_47_a_plugin_prints_without_end(tmp_path: Path) -> None:
    async with polled() as site:
        instance = odd(tmp_path / "odd", "chatters", {"deadline": 4.0})
        bench = Bench(tmp_path, instance, site.seams, total=TOTAL)
        async with bench.running() as host:
            await bench.until(lambda: host.status().failures.get("deadline"))
            assert host.status().log_lines_dropped > 1000
            assert len(host.printed(1 << 20)[1]) <= KEPT_LINES
            (tmp_path / "odd" / "manner").write_text("good", encoding="utf-8")
            await bench.until(lambda: bench.cursor == [TOTAL])
        files = list((tmp_path / "plugins/odd/logs").iterdir())
        assert sum(file.stat().st_size for file in files) < 3 * FILE_BYTES


@pytest.mark.parametrize(
    ("manner", "kind"),
    [
        ("huge", "exit"),
        ("unfolds", "protocol"),
        ("splits", "protocol"),
        ("floods", "protocol"),
        ("invents", "protocol"),
    ],
)
async def test_fault_47_too_much_or_fake_ids(tmp_path: Path, manner: str, kind: str) -> None:
    async with polled() as site:
        bench = Bench(tmp_path, odd(tmp_path / "odd", manner), site.seams, total=TOTAL)
        async with bench.running() as host:
            await bench.until(lambda: host.status().failures.get(kind))
            assert not bench.feed.sums, "nothing of such a message is used"
            (tmp_path / "odd" / "manner").write_text("good", encoding="utf-8")
            await bench.until(lambda: bench.cursor == [TOTAL])
    assert bench.feed.sums.keys() | bench.feed.gone.keys() == set(range(TOTAL))


async def test_fault_47_not_a_number_is_refused_and_the_rest_taken(tmp_path: Path) -> None:
    async with polled() as site:
        bench = Bench(tmp_path, odd(tmp_path / "odd", "nan"), site.seams, total=TOTAL)
        async with bench.running() as host:
            await bench.until(lambda: bench.cursor == [TOTAL])
            assert host.status().refused == {"not finite": TOTAL / bench.feed.batch}
            assert not host.status().failures
    assert site.events.count(PLUGIN_REFUSED) == 1, "told once, counted each time"
    assert len(bench.feed.sums) == TOTAL - TOTAL // bench.feed.batch
