"""Fault 46: a plugin that takes all memory, or all processes, is ended alone.

Its limits are small here, and set before it begins: what it gets never matters to the machine.
"""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from forebay.pluginhost.sandbox import SLACK_BYTES
from support.plugin_faults import polled
from support.plugins import Bench, odd

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

MEMORY_BYTES = 96 << 20
PROCESSES = 40
TOTAL = 8


async def test_fault_46_plugin_out_of_memory(tmp_path: Path) -> None:
    async with polled() as site:
        instance = odd(tmp_path / "odd", "eats", {"memory": MEMORY_BYTES})
        bench = Bench(tmp_path, instance, site.seams, total=TOTAL)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with bench.running() as host:
            await bench.until(lambda: host.status().failures.get("memory"))
            assert host.status().last_error
            (tmp_path / "odd" / "manner").write_text("good", encoding="utf-8")
            await bench.until(lambda: bench.cursor == [TOTAL])
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert grown < SLACK_BYTES // 4, "the agent's own memory does not grow by it"
    assert bench.feed.sums.keys() | bench.feed.gone.keys() == set(range(TOTAL))


@pytest.mark.parametrize(("manner", "kind"), [("hoards", "memory"), ("fills", "disk")])
async def test_fault_46_plugin_takes_what_no_process_holds(
    tmp_path: Path, manner: str, kind: str
) -> None:
    """Memory without a process, and the journal's disk."""
    async with polled() as site:
        limits = {"memory": MEMORY_BYTES, "file_size": 8 << 20, "files": 1024}
        bench = Bench(tmp_path, odd(tmp_path / "odd", manner, limits), site.seams, total=TOTAL)
        async with bench.running() as host:
            await bench.until(lambda: host.status().failures.get(kind))
            (tmp_path / "odd" / "manner").write_text("good", encoding="utf-8")
            state = tmp_path / "plugins/odd/state"
            if manner == "fills":
                await bench.until(lambda: "it keeps" in host.status().last_error)
                kept = len(list(state.iterdir()))
                host.restart()
                seen = host.status().failures[kind]
                await bench.until(lambda: host.status().failures[kind] > seen)
                assert len(list(state.iterdir())) == kept, "it is not even started"
                for path in state.iterdir():
                    path.unlink()
                host.restart()
            await bench.until(lambda: bench.cursor == [TOTAL])
    assert bench.feed.sums.keys() | bench.feed.gone.keys() == set(range(TOTAL))


async def test_fault_46_plugin_fork_bomb(tmp_path: Path, bubblewrap: None) -> None:
    async with polled() as site:
        limits = {"processes": PROCESSES, "deadline": 3.0}
        bench = Bench(tmp_path, odd(tmp_path / "odd", "breeds", limits), site.seams, total=TOTAL)
        most = 0
        async with bench.running() as host:

            def ended() -> bool:
                nonlocal most
                most = max(most, host.status().tasks)
                return bool(host.status().failures)

            await bench.until(ended)
            (tmp_path / "odd" / "manner").write_text("good", encoding="utf-8")
            await bench.until(lambda: bench.cursor == [TOTAL])
            assert host.status().tasks < PROCESSES
    assert most <= PROCESSES + 8, "the limit holds from the first fork on"
    assert not _left(tmp_path / "odd"), "none of them is left"
    assert bench.feed.sums.keys() | bench.feed.gone.keys() == set(range(TOTAL))


def _left(directory: Path) -> list[str]:
    """Give the processes that still run the plugin's program."""
    program = str(directory).encode()
    found = []
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and program in (path / "cmdline").read_bytes():
                found.append(path.name)
        except OSError:
            continue
    return found
