"""The host, with real processes in the sandbox of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.plugins import Bench, odd, sums

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


async def test_works_through_what_there_is_and_ends(tmp_path: Path) -> None:
    bench = Bench(tmp_path, odd(tmp_path / "odd", "good"), total=50, ends=True)
    async with bench.running():
        await bench.until(lambda: bench.task is not None and bench.task.done())
    assert bench.feed.sums == sums(bench.feed, 50)
    status = bench.host.status()
    assert (status.windows, status.works, status.samples) == (50, 13, 50)
    assert status.state == "stopped"
    assert not status.failures
