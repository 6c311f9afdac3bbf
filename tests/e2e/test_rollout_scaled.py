"""A rollout over boxes of two servers that share one PostgreSQL: the server that moves it dies.

The other one moves it on; each box is offered it once. Records go through JetStream to a worker, by
whose acks the boxes judge what they try.
"""

from __future__ import annotations

import shutil
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from support.fleet_boxes import Box, Fleet, command
from support.jetstream import Cluster
from support.processes import BIN, Process, until
from support.scaled import ready

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.postgres import Postgres

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]


async def rollout(fleet: Fleet, id_: str, condition: Callable[[Any], object]) -> Any:
    """Ask how a rollout goes until it is so."""
    for _ in range(120):
        found = await fleet.ask("rollout", "show", id_)
        if condition(found):
            return found
    raise AssertionError(found)


def states(told: Any) -> dict[str, str]:
    return {box["gateway"]: box["state"] for box in told["boxes"]}


@pytest.mark.long
async def test_it_goes_on_when_the_server_that_moves_it_dies(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with AsyncExitStack() as stack:
        servers = stack.enter_context(ExitStack())
        cluster = await stack.enter_async_context(Cluster(tmp_path / "nats"))
        common = [
            *("--database", postgres.fresh(), "--stream", cluster.url),
            *("--stream-ca", str(cluster.authority), "--stream-gib", "1"),
        ]
        words = [str(BIN / "forebay-fleet"), "worker", "--data", str(tmp_path / "worker"), *common]
        worker = await stack.enter_async_context(Process("worker", words, tmp_path))
        await worker.start()
        await until(partial(ready, worker), "it works")
        mover, other = (Fleet(tmp_path / name) for name in ("mover", "other"))
        for fleet in (mover, other):
            fleet.server.add(*common)
        servers.enter_context(mover)  # the first: it has the lease
        shutil.copytree(mover.pki, other.pki, dirs_exist_ok=True)
        other.server.data.mkdir()
        shutil.copy(mover.server.data / "signing.key", other.server.data)
        servers.enter_context(other)
        boxes = [Box(other, "box", "gw-1"), Box(mover, "box", "gw-2")]
        for box in boxes:
            await stack.enter_async_context(box)
            text = box.config.read_text("utf-8") + '[fleet]\nprobation = "5 s"\n'
            box.config.write_text(text, "utf-8")
            assert (await box.enroll(await other.token())).code == 0
            await box.agent.start()
            await until(partial(box.told, "fleet_connected"), "it comes")
            own = (f"socket={box.socket}", f"server={box.fleet.server.address}")
            words = ["variable", "set", box.gateway, *own, "--data", str(mover.server.data)]
            assert (await command(BIN / "forebay-fleet", *words)).code == 0
        id_ = (await other.ask("rollout", "start", "*", site_of(boxes[0]), "--first", "gw-1"))["id"]
        await rollout(mover, id_, lambda one: states(one)["gw-1"] != "waiting")
        mover.server.kill()
        # The canary is a box of the other server, which moves the rollout on once the lease ends.
        told = await rollout(other, id_, lambda one: states(one)["gw-2"] == "offered")
        assert (states(told)["gw-1"], told["state"]) == ("committed", "running")
        mover.server.start()
        told = await rollout(other, id_, lambda one: one["state"] != "running")
        assert (told["state"], told["said"]) == ("done", "2 committed")
        trail = await other.ask("audit", "--subject", id_)
        assert [one["what"] for one in trail] == ["rollout.done", "rollout.wave", "rollout.start"]
        offers = {box["gateway"]: box["offer_id"] for box in told["boxes"]}
        for box in boxes:
            attempts = (await box.forebay("config", "history")).document()
            assert str(attempts).count(f"rollout {id_}") == 1, attempts
            assert offers[box.gateway] in str(attempts)
            assert "300 ms" in (await box.forebay("config", "show")).out


def site_of(box: Box) -> str:
    """Write what all boxes are to run, by what differs from box to box; give its folder."""
    site = box.directory / "site"
    site.mkdir()
    text = box.config.read_text("utf-8").replace(f'id = "{box.gateway}"', 'id = "${gateway}"')
    text = text.replace(str(box.socket), "${socket}").replace("200 ms", "300 ms")
    text = text.replace(f'"{box.fleet.server.address}"', '"${server}"')
    (site / "forebay.toml").write_text(text, "utf-8")
    return str(site)
