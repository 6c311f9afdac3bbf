"""The host, with real processes in the sandbox of this machine."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from forebay.errors import PluginMisbehaved, PluginUnavailable
from forebay.events import (
    PLUGIN_CIRCUIT_OPENED,
    PLUGIN_FAILED,
    PLUGIN_PASSED,
    PLUGIN_SWAP_FAILED,
    PLUGIN_SWAPPED,
)
from forebay.model import ValueType
from forebay.pluginhost import watch
from forebay.pluginhost.seams import Input
from support.odd_plugin import POISON
from support.plugins import Bench, odd, sums

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's."""
    with tempfile.TemporaryDirectory(prefix="host-") as directory:
        yield Path(directory)


def listed(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def repair(directory: Path) -> None:
    (directory / "manner").write_text("good", encoding="utf-8")


async def test_works_through_what_there_is_and_ends(tmp_path: Path) -> None:
    bench = Bench(tmp_path, odd(tmp_path / "odd", "good"), total=50, ends=True)
    async with bench.running():
        await bench.until(lambda: bench.task is not None and bench.task.done())
    assert bench.feed.sums == sums(bench.feed, 50)
    status = bench.host.status()
    assert (status.windows, status.works, status.samples) == (50, 13, 50)
    assert status.state == "stopped"
    assert not status.failures
    assert bench.feed.closed


async def test_says_what_runs_and_what_holds_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, odd(tmp_path / "odd", "good"), total=8)
    async with bench.running() as host:
        await bench.until(lambda: host.status().windows == 8 and host.status().memory_bytes)
        status = host.status()
        assert status.state == "running"
        assert status.pid > 0
        assert watch.lives(status.pid)
        assert (status.sdk, status.detail) == ("odd 1", "odd")
        assert status.facts["manner"] == "good"
        assert status.inputs == (Input("values", "pump/flow", ValueType.FLOAT64),)
        assert {"bubblewrap", "rlimits", "nice"} <= set(status.sandbox)
        assert os.getpriority(os.PRIO_PROCESS, status.pid) >= 10
        assert 0 < status.p50_s <= status.p99_s
        printed, last = host.printed(10)
        assert printed == 1
        assert last[0].endswith("manner good")
    assert not watch.lives(status.pid)


async def test_sockets_of_an_agent_that_was_killed_are_swept(short_path: Path) -> None:
    run = short_path / "plugins/odd/run"
    (run / "old").mkdir(parents=True)
    (run / "old/plugin.sock").touch()
    old = await asyncio.create_subprocess_exec(
        "sleep", "600", env={"FOREBAY_PLUGIN_SOCKET": f"{run}/old/plugin.sock"}
    )
    bench = Bench(short_path, odd(short_path / "odd", "good"), total=8)
    async with bench.running():
        await bench.until(lambda: bench.cursor == [8])
        assert await asyncio.wait_for(old.wait(), 30) == -signal.SIGKILL, "and who outlived it"
        (place,) = listed(run)
        assert place != "old"
    assert listed(run) == []


async def test_a_window_that_kills_it_twice_is_given_up_and_no_other(tmp_path: Path) -> None:
    instance = odd(tmp_path / "odd", "poisoned")
    bench = Bench(tmp_path, instance, total=16, values={4 * 5 + 2: POISON})
    async with bench.running() as host:
        await bench.until(lambda: bench.cursor == [16])
        expected = sums(bench.feed, 16)
        del expected[5]
        assert bench.feed.sums == expected
        assert list(bench.feed.gone) == [5]
        assert re.search("SIGABRT|its line ended", bench.feed.gone[5])
        # A third time where the first death took the answer before it along: that window was asked
        # for again, too.
        # "exit" where the line had ended a second before the process, on a busy machine.
        failures = host.status().failures
        assert failures.keys() <= {"killed", "exit"}
        assert sum(failures.values()) in {2, 3}
        assert host.status().windows_passed == 1
        assert host.status().circuit == "closed"
    assert bench.seams.events.count(PLUGIN_PASSED) == 1
    told = {kind: bench.seams.events.count(PLUGIN_FAILED, kind=kind) for kind in failures}
    assert told == failures


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("lies", "which is not next"),
        ("forgets", "3 values for 4 windows"),
        ("invents", "of window 1000, of 4"),
        ("twice", "which is not next"),
        ("torn", "no whole number"),
    ],
)
async def test_who_breaks_the_protocol_is_ended(tmp_path: Path, manner: str, words: str) -> None:
    bench = Bench(tmp_path, odd(tmp_path / "odd", manner), total=4)
    async with bench.running() as host:
        await bench.until(lambda: host.status().failures.get("protocol"))
        assert words in host.status().last_error
        repair(tmp_path / "odd")
        await bench.until(lambda: bench.cursor == [4])
        assert {**bench.feed.sums, **dict.fromkeys(bench.feed.gone)}.keys() == set(range(4))


@pytest.mark.parametrize(
    ("manner", "kind", "words"),
    [
        ("stillborn", "exit", "no model"),
        ("forger", "exit", "ended"),
        ("newer", "protocol", "it speaks protocol 2"),
        ("mute", "start", "was not ready within"),
        ("lazy", "start", "was not ready within"),
    ],
)
async def test_who_does_not_get_ready_costs_no_window(
    tmp_path: Path, manner: str, kind: str, words: str
) -> None:
    instance = odd(tmp_path / "odd", manner, {"start_timeout": 3.0})
    bench = Bench(tmp_path, instance, total=4)
    async with bench.running() as host:
        await bench.until(lambda: host.status().failures.get(kind))
        assert words in host.status().last_error
        assert host.status().last_hint
        repair(tmp_path / "odd")
        host.reset()
        await bench.until(lambda: bench.cursor == [4])
    assert bench.feed.sums == sums(bench.feed, 4)
    assert not bench.feed.gone


async def test_a_program_that_is_not_there_is_a_failure_like_others(tmp_path: Path) -> None:
    plugin = {"command": ["{dir}/missing"]}
    bench = Bench(tmp_path, odd(tmp_path / "odd", "good", plugin=plugin))
    async with bench.running() as host:
        await bench.until(lambda: host.status().circuit == "open")
        assert "missing" in host.status().last_error
    assert bench.seams.events.count(PLUGIN_CIRCUIT_OPENED) == 1


async def test_another_version_takes_over_between_two_works(tmp_path: Path) -> None:
    bench = Bench(tmp_path, odd(tmp_path / "odd", "slow"))
    async with bench.running() as host:
        await bench.until(lambda: bench.cursor[0] >= 8)
        first, old = host.status().pid, bench.feed
        newer = odd(tmp_path / "newer", "good", plugin={"version": "2.0"})
        await host.swap(newer)
        switched_at = bench.cursor[0]
        assert (host.status().version, host.instance) == ("2.0", newer)
        assert host.status().pid != first
        assert old.closed
        assert not old.open, "what the old one had in hand is done"
        await bench.until(lambda: bench.cursor[0] >= switched_at + 100)
        assert not host.status().failures
        done = {**old.sums, **bench.feed.sums}
        assert not old.sums.keys() & bench.feed.sums.keys(), "nothing was done twice"
        assert done == sums(old, bench.cursor[0]), "nothing was left out"
        await bench.until(lambda: not watch.lives(first))
    assert bench.seams.events.count(PLUGIN_SWAPPED) == 1


async def test_a_version_that_does_not_get_ready_does_not_take_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path, odd(tmp_path / "odd", "slow"))
    async with bench.running() as host:
        await bench.until(lambda: bench.cursor[0] >= 8)
        pid, old = host.status().pid, bench.feed
        broken = odd(tmp_path / "broken", "stillborn", plugin={"version": "2.0"})
        with pytest.raises(PluginUnavailable, match="no model"):
            await host.swap(broken)
        newer = odd(tmp_path / "ahead", "newer", plugin={"version": "3.0"})
        with pytest.raises(PluginMisbehaved):
            await host.swap(newer)
        assert bench.seams.events.count(PLUGIN_SWAP_FAILED, plugin=host.status().name) == 2
        seen = bench.cursor[0]
        await bench.until(lambda: bench.cursor[0] >= seen + 8)
        assert host.status().version == "1.0"
        assert host.status().pid == pid
        assert old.sums == sums(old, bench.cursor[0])


async def test_a_swap_helps_one_that_is_left_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, odd(tmp_path / "odd", "stillborn"), total=8)
    async with bench.running() as host:
        await bench.until(lambda: host.status().circuit == "open")
        await host.swap(odd(tmp_path / "newer", "good", plugin={"version": "2.0"}))
        await bench.until(lambda: bench.cursor == [8])
        assert bench.feed.sums == sums(bench.feed, 8)
        assert host.status().circuit == "closed"


async def test_starts_anew_for_other_inputs_and_waits_for_the_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path, odd(tmp_path / "odd", "slow"))
    tags = list(bench.feed.tags)
    bench.feed.tags.clear()
    async with bench.running() as host:
        await bench.until(lambda: host.status().state == "no-inputs")
        bench.feed.tags.extend(tags)
        bench.feed.changed.set()
        await bench.until(lambda: bench.cursor[0] >= 8)
        first = host.status().pid
        bench.feed.tags.append(Input("values", "pump/heat", ValueType.FLOAT64))
        bench.feed.changed.set()
        await bench.until(lambda: host.status().pid not in (0, first))
        assert len(host.status().inputs) == 2
        seen = bench.cursor[0]
        await bench.until(lambda: bench.cursor[0] >= seen + 8)
        assert bench.feed.sums == sums(bench.feed, bench.cursor[0])
        assert not host.status().failures


async def test_restart_and_stop_end_what_is_out_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path, odd(tmp_path / "odd", "slow"))
    async with bench.running() as host:
        await bench.until(lambda: bench.cursor[0] >= 8)
        first = host.status().pid
        host.restart()
        await bench.until(lambda: host.status().pid not in (0, first))
        seen = bench.cursor[0]
        await bench.until(lambda: bench.cursor[0] >= seen + 8)
        await host.stop(30.0)
        assert host.status().state == "stopped"
        assert not bench.feed.open
        assert bench.feed.sums == sums(bench.feed, bench.cursor[0])
        assert any("stopping: the gateway stops it" in line for line in host.printed(20)[1])
        await bench.until(lambda: bench.task is not None and bench.task.done())


async def test_one_that_does_not_stop_is_ended_with_all_that_it_left_behind(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, odd(tmp_path / "odd", "daemon"), total=4)
    async with bench.running() as host:
        await bench.until(lambda: bench.cursor == [4])
        tree = watch.tree(host.status().pid, 100)
        assert len(tree) > 2
        (tmp_path / "odd" / "manner").write_text("stubborn", encoding="utf-8")
        host.restart()
        await bench.until(lambda: host.status().facts.get("manner") == "stubborn")
        assert not [pid for pid in tree if watch.lives(pid)]
        tree = watch.tree(host.status().pid, 100)
    assert not [pid for pid in tree if watch.lives(pid)]


async def test_an_idle_plugin_gives_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forebay.pluginhost.session.PING_S", 0.1)
    bench = Bench(tmp_path, odd(tmp_path / "odd", "good"), total=4)
    async with bench.running() as host:
        await bench.until(lambda: bench.cursor == [4])
        await asyncio.sleep(1.0)  # several pings
        assert not host.status().failures
        assert host.status().starts == 1
    deaf = Bench(tmp_path, odd(tmp_path / "deaf", "deaf", {"deadline": 0.5}), total=4)
    async with deaf.running() as host:
        await deaf.until(lambda: host.status().failures.get("deadline"))
        assert "no sign of life" in host.status().last_error
    assert deaf.feed.sums == sums(deaf.feed, 4)
