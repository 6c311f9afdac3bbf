"""A box that was off during a rollout that was aborted comes back, and does not begin with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.fleet_boxes import SIMULATED, Box, Fleet, command
from support.processes import BIN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def site(box: Box, folder: Path, period: str) -> str:
    """Write a configuration that differs from the box's own by how often it polls."""
    folder.mkdir()
    text = box.config.read_text("utf-8").replace("200 ms", period)
    (folder / "forebay.toml").write_text(text, "utf-8")
    return str(folder)


async def until(fleet: Fleet, words: tuple[str, ...], condition: Callable[[Any], object]) -> Any:
    """Ask until the answer is so."""
    for _ in range(90):
        found = await fleet.ask(*words)
        if condition(found):
            return found
    raise AssertionError(found)


@pytest.mark.long
async def test_it_does_not_begin_with_what_was_aborted(tmp_path: Path) -> None:
    assert "200 ms" in SIMULATED
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "box") as box:
            text = box.config.read_text("utf-8") + '[fleet]\nprobation = "5 s"\n'
            box.config.write_text(text, "utf-8")
            assert (await box.enroll(await fleet.token())).code == 0
            bad, good = (site(box, tmp_path / name, name) for name in ("300 ms", "400 ms"))
            id_ = (await fleet.ask("rollout", "start", "*", bad))["id"]
            show = ("rollout", "show", id_)
            await until(fleet, show, lambda one: one["counts"].get("offered") == 1)
            data = ("--data", fleet.server.data)
            ended = await command(BIN / "forebay-fleet", "rollout", "abort", id_, *data)
            assert ended.code == 0, ended
            over = await until(fleet, show, lambda one: not one["ending"])
            assert [one["state"] for one in over["boxes"]] == ["left"]
            await box.agent.start()
            await until(fleet, ("show", "gw-1"), lambda one: one["online"])
            again = (await fleet.ask("rollout", "start", "*", good))["id"]
            await until(
                fleet, ("rollout", "show", again), lambda one: one["counts"].get("committed")
            )
            attempts = (await box.forebay("config", "history")).document()
            assert "400 ms" in (await box.forebay("config", "show")).out
            assert "rollout " + again in str(attempts)
            assert "rollout " + id_ not in str(attempts)
