"""`forebay config apply` on real processes: what changes restarts, what is bad goes again."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from support.config_site import config_site
from support.processes import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


@pytest.mark.long
async def test_only_what_changed_restarts_and_the_same_again_is_nothing(tmp_path: Path) -> None:
    async with config_site(tmp_path) as site:
        before = site.press.connections, site.oven.connections
        good = site.written("good.toml", site.both(oven="300 ms"))
        shown = await site.run("diff", good)
        assert (shown.code, "-period = " in shown.out, "+period = " in shown.out) == (1, True, True)
        assert '"300 ms"' in shown.out
        done = await site.run("apply", good, "--reason", "slower oven", "--json")
        assert done.code == 0, done
        attempt = done.document()
        assert (attempt["phase"], attempt["changed"]) == ("committed", ["device oven"])
        assert attempt["took_s"] >= 6.0
        assert (site.press.connections, site.oven.connections) == (before[0], before[1] + 1)
        late = gaps_s(site.press.read_s)
        assert sorted(late)[len(late) // 2] < 0.4, "the other device kept its period"
        again = await site.run("apply", good)
        assert again.code == 0
        assert "nothing was changed" in again.out
        assert (await site.run("diff", good)).code == 0
        assert (site.press.connections, site.oven.connections) == (before[0], before[1] + 1)

        status = await site.status()
        assert (status["running_generation"], status["running_source"]) == (1, "local")
        assert (status["running"], status["file_differs"]) == (attempt["hash"], True)
        code, glance = await site.world.ask("status")
        assert code == 0
        assert any("generation 1" in note for note in glance["notes"])
        assert any("forebay config diff" in note for note in glance["notes"])

        _, audit = await site.world.ask("journal", "show", "--stream", "audit")
        texts = [one["text"] for one in audit["records"] if one["kind"] == "batch"]
        assert any("config-1 intent: configure generation 1" in one for one in texts)
        assert any("config-1 COMMITTED" in one and "slower oven" in one for one in texts)

        assert await site.world.agent.stop() == 0
        await site.world.agent.start()
        await site.flowing()
        assert (await site.status())["running_generation"] == 1, "it runs at the next start, too"

        back = await site.run("rollback")
        assert back.code == 0, back
        status = await site.status()
        assert (status["running_source"], status["file_differs"]) == ("file", False)


def gaps_s(times: list[float]) -> list[float]:
    """Give the times between polls."""
    return [late - early for early, late in pairwise(times)]


async def test_one_bad_tag_of_5000_is_left_out_and_told_of(tmp_path: Path) -> None:
    async with config_site(tmp_path) as site:
        rows = [f"t{n},holding:{n % 100},uint16" for n in range(4_999)]
        rows.insert(2_500, "bad,nowhere:1,uint16")
        (tmp_path / "press.csv").write_text("name,address,type\n" + "\n".join(rows) + "\n")
        devices = site.both().replace(
            'tags = [{ name = "count", address = "holding:0", type = "uint16" }]',
            'tags = "press.csv"',
            1,
        )
        done = await site.run("apply", site.written("big.toml", devices))
        assert done.code == 0, done
        assert "left out: press.csv:2502" in done.out
        status = await site.status()
        assert [one["path"] for one in status["quarantined"]] == ["press.csv:2502"]
        assert status["effective"] != status["running"]
        _, found = await site.world.ask("devices")
        assert {d["name"]: d["tags"] for d in found["devices"]} == {"press": 4_999, "oven": 1}
        shown = await site.run("show")
        assert "left out: press.csv:2502" in shown.out


async def test_a_change_of_the_journal_begins_anew_in_the_same_process(tmp_path: Path) -> None:
    async with config_site(tmp_path) as site:
        pid = site.world.agent.pid
        path = site.written("journal.toml", site.both())
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("[journal]", '[journal]\nsegment_size = "8 MiB"', 1))
        done = await site.run("apply", path)
        assert done.code == 0, (done, site.world.agent.text()[-3000:])
        assert site.world.agent.pid == pid
        assert (await site.status())["running_generation"] == 1


async def test_killed_on_trial_it_goes_on_with_it_and_killed_again_it_goes_back(
    tmp_path: Path,
) -> None:
    async with config_site(tmp_path) as site:
        good = site.written("good.toml", site.both(oven="300 ms"))
        for _ in range(4):
            if not site.world.agent.running:
                await site.world.agent.start()
                await until(site.world.socket.exists, "it answers")
            else:
                assert (await site.run("apply", good, "--no-wait")).code == 0
            await on_trial(site.world.directory)
            await site.world.agent.kill()
            site.world.socket.unlink()
        await site.world.agent.start()
        await site.flowing()
        last = await site.last()
        assert last["phase"] == "rolled_back"
        assert "again and again" in last["error"]
        assert (await site.status())["running_source"] == "file"


async def on_trial(directory: Path) -> None:
    """Wait until the disk says that something is on trial, whose start was counted."""
    book = directory / "state" / "config" / "book.json"

    def there() -> bool:
        if not book.exists():
            return False
        inner = json.loads(json.loads(book.read_text(encoding="utf-8"))["body"])
        return inner["trial"] is not None

    await until(there, "a trial")
    await asyncio.sleep(0)


async def test_a_journal_that_would_lie_in_a_copy_is_refused(tmp_path: Path) -> None:
    async with config_site(tmp_path) as site:
        relative = site.written("relative.toml", site.both())
        text = relative.read_text(encoding="utf-8")
        relative.write_text(text.replace(f'"{site.world.journal}"', '"journal"'))
        refused = await site.run("apply", relative)
        assert refused.code == 2
        assert "journal.directory" in refused.out
        assert refused.out.count("write its absolute path") == 1
        assert (await site.status())["running_source"] == "file"
