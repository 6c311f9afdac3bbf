"""Another configuration while the agent runs: only what differs ends, and nothing is lost by it.

Real Modbus servers over TCP, a real journal on disk, real files as destinations.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from forebay.model import is_bad
from support.live_agent import CountingPlc, LiveAgent, device
from support.processes import until

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.management.views import Vitals

MORE = "count,holding:0,uint16,\nheat,holding:7,int16,\n"
LAKE = '[uplinks.lake]\nkind = "file"\ndirectory = "{0}"\nmax_age = "1 s"\nmin_free = "1 MiB"\n'


async def polled(plc: CountingPlc, times: int, what: str) -> None:
    """Wait until `plc` was read so many times more."""
    before = len(plc.given)
    await until(lambda: len(plc.given) >= before + times, what)


async def test_only_the_device_that_changed_connects_again(tmp_path: Path) -> None:
    async with CountingPlc() as press, CountingPlc() as oven:
        agent = LiveAgent(tmp_path)
        devices = {"press": device(press.port), "oven": device(oven.port)}
        agent.write(devices)
        async with agent:
            await polled(press, 5, "the press is polled")
            await polled(oven, 5, "the oven is polled")
            untouched = agent.runtime.devices.sessions["oven"]
            same = await agent.apply(devices)
            assert (same.changed, same.restart) == ((), False)
            devices["press"] = device(press.port, period="30 ms")
            assert (await agent.apply(devices)).changed == ("device press",)
            await polled(press, 5, "the press is polled at its new period")
            devices["press"] = device(press.port, MORE, period="30 ms")
            assert (await agent.apply(devices)).changed == ("device press",)
            await polled(press, 5, "the press is polled with its new tag")
            await polled(oven, 5, "the oven goes on")
            assert (press.connections, oven.connections) == (3, 1)
            assert agent.runtime.devices.sessions["oven"] is untouched, "its place in time, too"
            values = await agent.values("oven", "count")
            assert [value for value, _ in values] == oven.given[: len(values)], "none is missing"
            assert not any(is_bad(quality) for _, quality in values)
            values = await agent.values("press", "count")
            assert not any(is_bad(quality) for _, quality in values), "no bad value is invented"
            given = [value for value, _ in values]
            assert given == sorted(set(given)), "none came twice"
            assert len(press.given) - len(given) <= 4, "at most one poll was cut off each time"


async def test_devices_come_and_go_in_all_that_looks_at_them(tmp_path: Path) -> None:
    async with CountingPlc() as press, CountingPlc() as oven:
        agent = LiveAgent(tmp_path)
        agent.write({"press": device(press.port)})
        async with agent:
            assert agent.answers is not None
            both = {"press": device(press.port), "oven": device(oven.port, MORE)}
            assert (await agent.apply(both)).changed == ("device oven",)
            await polled(oven, 3, "the new device is polled")
            await until(
                lambda: agent.runtime.shadow.bad_counts().get("oven") == 0, "its values are known"
            )
            assert [str(k.name) for k in agent.answers.tag_keys() if k.device == "oven"] == [
                "count",
                "heat",
            ]
            # A tag list without one of two tags: the other keeps its value meanwhile.
            await agent.apply({"press": both["press"], "oven": device(oven.port)})
            assert agent.runtime.shadow.get("oven", "heat") is None
            found = agent.runtime.shadow.get("oven", "count")
            assert found is not None
            assert found[1].value is not None
            gone = await agent.apply({"press": both["press"]})
            assert gone.changed == ("device oven",)
            assert agent.runtime.shadow.get("oven", "count") is None
            assert [status.name for status in agent.answers.devices()] == ["press"]
            before = len(oven.given)
            await polled(press, 5, "the other goes on")
            assert len(oven.given) == before, "nobody polls what was removed"
            assert press.connections == 1


async def test_who_shares_a_line_begins_anew_with_it_and_nobody_else(tmp_path: Path) -> None:
    async with CountingPlc() as gateway, CountingPlc() as oven:
        agent = LiveAgent(tmp_path)

        def unit(number: int, period: str = "40 ms") -> str:
            return f"unit = {number}\n" + device(gateway.port, period=period)

        devices = {"one": unit(1), "two": unit(2), "oven": device(oven.port)}
        agent.write(devices)
        async with agent:
            await polled(gateway, 6, "both units are polled")
            assert gateway.connections == 1
            devices["two"] = unit(2, "30 ms")
            changed = (await agent.apply(devices)).changed
            assert sorted(changed) == ["device one", "device two"]
            await polled(gateway, 6, "they are polled again")
            devices["three"] = unit(3)
            changed = (await agent.apply(devices)).changed
            assert sorted(changed) == ["device one", "device three", "device two"]
            await polled(gateway, 9, "all three are polled")
            lines = {one.line.name for one in agent.runtime.devices.sessions.values()}
            assert len(lines) == 2
            sessions = agent.runtime.devices.sessions
            await until(lambda: all(s.status.good_samples for s in sessions.values()), "all give")
            assert (gateway.connections, oven.connections) == (3, 1)


async def test_what_cannot_change_under_way_touches_nothing_and_asks_to_begin_again(
    tmp_path: Path,
) -> None:
    async with CountingPlc() as press:
        agent = LiveAgent(tmp_path)
        agent.write({"press": device(press.port)})
        async with agent:
            await polled(press, 3, "it is polled")
            agent.write({}, head='[gateway]\nid = "gw-other"\n')
            applied = await agent.runtime.apply(agent.loaded())
            assert (applied.changed, applied.restart) == ((), True)
            await polled(press, 3, "it is polled as before")
            assert press.connections == 1
            agent.runtime.again()
            assert await agent.ended(), "serve says that it is to begin again"


async def test_an_uplink_that_changes_goes_on_where_it_was(tmp_path: Path) -> None:
    async with CountingPlc() as press:
        agent = LiveAgent(tmp_path)
        devices = {"press": device(press.port)}
        agent.write(devices, LAKE.format(tmp_path / "a"))
        async with agent:
            runtime = agent.runtime
            await until(lambda: runtime.vitals().uplinks["lake"].acked_records > 3, "it delivers")
            other = LAKE.format(tmp_path / "a") + 'max_size = "32 MiB"\n'
            assert (await agent.apply(devices, other)).changed == ("uplink lake",)
            await until(lambda: runtime.vitals().uplinks["lake"].acked_records > 3, "it goes on")
            assert (await agent.apply(devices)).changed == ("uplink lake",)
            assert runtime.vitals().uplinks == {}
            await polled(press, 5, "it is polled")
            assert (await agent.apply(devices, other)).changed == ("uplink lake",)
            await until(lambda: runtime.vitals().uplinks["lake"].acked_records > 0, "it is back")
            assert press.connections == 1
            await runtime.pipeline.settled()
        assert press.connections == 1


async def test_signs_of_life_tell_a_device_that_gives_nothing(tmp_path: Path) -> None:
    async with CountingPlc() as press, CountingPlc() as oven:
        agent = LiveAgent(tmp_path)
        devices = {"press": device(press.port), "oven": device(oven.port)}
        agent.write(devices)
        async with agent:
            vitals = agent.runtime.vitals

            def good(now: Vitals, name: str) -> bool:
                return now.devices[name].good_samples > 3

            await until(lambda: good(vitals(), "press") and good(vitals(), "oven"), "both give")
            before = vitals()
            assert before.devices["press"].polls_per_s == pytest.approx(25.0)
            assert before.memory_bytes > 1 << 20
            # No such register: the device refuses, and all that it gives is bad.
            devices["oven"] = device(oven.port, "count,holding:500,uint16,\n")
            await agent.apply(devices)
            await until(lambda: vitals().devices["oven"].polls > 10, "it is polled")
            now = vitals()
            assert now.devices["oven"].good_samples == 0
            assert now.devices["oven"].last_good_s is None
            assert now.devices["press"].began_s == before.devices["press"].began_s
            assert now.devices["press"].good_samples > before.devices["press"].good_samples
            assert now.journal.commits > before.journal.commits
            assert now.journal.last_commit_s is not None
            assert now.restarts == 0


@pytest.mark.long
async def test_the_ledger_balances_over_fifty_changes_under_load(tmp_path: Path) -> None:
    rng = random.Random(1)
    async with CountingPlc() as still, CountingPlc() as a, CountingPlc() as b, CountingPlc() as c:
        plcs = {"a": a, "b": b, "c": c}
        agent = LiveAgent(tmp_path)
        devices, lakes = {"still": device(still.port)}, {"one"}
        agent.write(devices, _uplinks(tmp_path, lakes))
        restarts = dict.fromkeys(plcs, 0)
        async with agent:
            for _ in range(50):
                name = rng.choice(list(plcs))
                what = rng.randrange(5)
                if what == 0 and name in devices:
                    del devices[name]
                elif what == 1:
                    lakes ^= {rng.choice(["one", "two"])}
                else:
                    tags = rng.choice([MORE, "count,holding:0,uint16,\n"])
                    period = rng.choice(["20 ms", "35 ms", "50 ms"])
                    devices[name] = device(plcs[name].port, tags, period)
                applied = await agent.apply(devices, _uplinks(tmp_path, lakes))
                for part in applied.changed:
                    if part.startswith("device "):
                        restarts[part.removeprefix("device ")] += 1
                await polled(still, rng.randrange(1, 4), "the other goes on")
            lakes = {"one"}
            await agent.apply(devices, _uplinks(tmp_path, lakes))
            for name, plc in {"still": still, **plcs}.items():
                values = await agent.values(name, "count")
                given = [value for value, quality in values if not is_bad(quality)]
                assert len(given) == len(values), f"{name}: a bad value was invented"
                assert given == sorted(set(given)), f"{name}: a value came twice"
                assert set(given) <= set(plc.given), f"{name}: a value was invented"
                missing = set(range(1, given[-1] + 1)) - set(given) if given else set()
                # A poll that is cut off gives nothing, once each time that its device changes.
                assert len(missing) <= restarts.get(name, 0), f"{name}: values are lost"
            assert still.connections == 1
            for name, plc in plcs.items():
                assert plc.connections <= restarts[name]
            await asyncio.wait_for(_balanced(agent), 60.0)


def _uplinks(folder: Path, names: set[str]) -> str:
    text = "".join(LAKE.format(folder / name).replace("lake", name) for name in sorted(names))
    return text.replace("[uplinks.", "\n[uplinks.")


async def _balanced(agent: LiveAgent) -> None:
    """Wait until everything is delivered, and see that nothing is missing on the way."""
    while True:
        accepted = agent.runtime.pipeline.accepted_samples
        waiting = agent.runtime.pipeline.pending_samples()
        line = await agent.ledger("one")
        parts = line.delivered + line.pending + line.gapped + line.quarantined
        assert line.produced == parts
        assert line.gapped == line.quarantined == 0
        assert accepted - waiting <= line.produced <= agent.runtime.pipeline.accepted_samples
        if line.delivered >= accepted:
            return
        await asyncio.sleep(0.05)


MANIFEST = """\
[plugin]
name = "many"
version = "1"
command = ["{python}", "{dir}/many.py"]

[inputs.values]
tags = ["*/*"]
max = 100

[outputs.inputs]
[outputs.offset]

[settings]
offset = 0

[limits]
start_timeout = "60 s"
"""
CODE = """\
from forebay_plugin import Plugin, serve


class Many(Plugin):
    def setup(self, setup):
        self.offset = setup.settings["offset"]
        return {"offset": str(self.offset)}

    def process(self, window):
        return {"inputs": float(len(window.series)), "offset": float(self.offset)}


serve(Many)
"""


async def test_plugins_come_change_and_go_and_look_at_what_there_is(tmp_path: Path) -> None:
    async with CountingPlc() as press, CountingPlc() as oven:
        agent = LiveAgent(tmp_path)
        folder = tmp_path / "many"
        folder.mkdir()
        (folder / "plugin.toml").write_text(MANIFEST, encoding="utf-8")
        (folder / "many.py").write_text(CODE, encoding="utf-8")
        table = f'[plugins.watch]\npath = "{folder}"\n'
        one = {"press": device(press.port)}
        both = {**one, "oven": device(oven.port, MORE)}
        agent.write(one)
        async with agent:
            runtime = agent.runtime

            def seen(tag: str) -> object:
                found = runtime.shadow.get("watch", tag)
                return found and found[1].value

            assert seen("inputs") is None
            assert (await agent.apply(one, table)).changed == ("plugin watch",)
            await until(lambda: seen("inputs") == 1.0, "it sees the one tag", 90)
            assert (await agent.apply(both, table)).changed == ("device oven",)
            await until(lambda: seen("inputs") == 3.0, "it sees the new device's tags", 90)
            assert (await agent.apply(one, table)).changed == ("device oven",)
            await until(lambda: seen("inputs") == 1.0, "it sees what is left", 90)
            changed = table + "[plugins.watch.settings]\noffset = 7\n"
            assert (await agent.apply(one, changed)).changed == ("plugin watch",)
            await until(lambda: seen("offset") == 7.0, "it has its new settings", 90)
            pid = runtime.plugins.hosts["watch"].status().pid
            assert (await agent.apply(one, changed)).changed == ()
            assert runtime.plugins.hosts["watch"].status().pid == pid
            assert (await agent.apply(one)).changed == ("plugin watch",)
            assert runtime.shadow.get("watch", "inputs") is None
            assert runtime.plugins.hosts == {}
            assert runtime.vitals().restarts == 0, "nothing died by itself"
            assert press.connections == 1
            times = [value for value, _ in await agent.values("press", "count")]
            assert times == press.given[: len(times)]
