"""The screen of `forebay top`, driven by keys, against a real control server.

`looks/VIEW.txt` is what it shows on 80x24 without colour; FOREBAY_LOOKS=write writes them.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from forebay.cli.top.asker import VIEWS
from forebay.cli.top.screen import Top
from forebay.control.server import ControlServer
from forebay.testing.clock import FakeClock
from support import processes
from support.scripted_agent import NOW, ScriptedAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOKS = Path(__file__).with_name("looks")


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def screen(path: Path) -> Top:
    return Top(path, every_s=0.1, clock=FakeClock(NOW))


def shown(app: Top) -> str:
    """Give the whole screen as text."""
    lines = app.screen._compositor.render_strips()  # noqa: SLF001 - what a terminal would be sent
    return "".join(f"{strip.text.rstrip()}\n" for strip in lines)


async def until(app: Top, holds: Callable[[str], bool]) -> None:
    """Wait for what the screen shows."""
    try:
        await processes.until(lambda: holds(shown(app)), "what the screen is to show")
    except AssertionError:
        pytest.fail(shown(app))


@pytest.mark.parametrize("view", VIEWS)
async def test_each_view_fits_80_by_24(path: Path, view: str) -> None:
    async with ControlServer(path, ScriptedAgent()), screen(path).run_test(size=(80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, Top)
        await pilot.press(str(VIEWS.index(view) + 1))
        await until(app, lambda text: "samples/s" in text and app.shows == view)
        await pilot.press("p")  # a line of past values grows with each picture
        await pilot.press("end", "home")
        await until(app, lambda text: "PAUSED" in text)
        seen = "".join(f"{line}\n" for line in shown(app).splitlines())
    if view == "tags":  # how many values its lines have is a matter of time
        seen = re.sub(r"[▁-█]+|LATELY", "LATELY", seen)
        seen = re.sub(r"(?<=\S) {2,}", "  ", seen)
    file = LOOKS / f"{view}.txt"
    if os.environ.get("FOREBAY_LOOKS") == "write":
        file.write_text(seen, "utf-8")
    assert len(seen.splitlines()) == 24
    assert seen == file.read_text("utf-8")


@pytest.mark.parametrize(("height", "most"), [(24, 5), (40, 30)])
async def test_problems_leave_room_for_the_table(path: Path, height: int, most: int) -> None:
    agent = ScriptedAgent()
    problems = tuple(f"device d{n}: {'it is a long story ' * 12}" for n in range(5))
    agent.status_reply = replace(agent.status_reply, problems=problems)
    async with ControlServer(path, agent), screen(path).run_test(size=(80, height)) as pilot:
        app = pilot.app
        assert isinstance(app, Top)
        await until(app, lambda text: "and 2 more" in text and "press" in text)
        lines = shown(app).splitlines()
    above = lines.index(next(line for line in lines if "1 Devices" in line))
    assert above <= most
    assert (above == most) == (height == 24), "where there is room they are told whole"
    assert all(len(line) <= 80 for line in lines)


async def test_an_agent_that_goes_away_is_said_and_comes_back(path: Path) -> None:
    app = screen(path)
    async with app.run_test(size=(80, 24)):
        await until(app, lambda text: "NO AGENT" in text)
        async with ControlServer(path, ScriptedAgent()):
            await until(app, lambda text: "samples/s" in text and "NO AGENT" not in text)
        await until(app, lambda text: "NO AGENT" in text)
        async with ControlServer(path, ScriptedAgent()):
            await until(app, lambda text: "samples/s" in text and "NO AGENT" not in text)


async def test_problems_are_acknowledged_until_others_come(path: Path) -> None:
    agent, app = ScriptedAgent(), screen(path)
    agent.status_reply = replace(agent.status_reply, problems=("device press: no answer",))
    async with ControlServer(path, agent), app.run_test(size=(80, 24)) as pilot:
        await until(app, lambda text: "! device press: no answer" in text)
        await pilot.press("a")
        await until(app, lambda text: "1 problem acknowledged" in text and "no answer" not in text)
        agent.status_reply = replace(
            agent.status_reply, problems=("device press: no answer", "uplink cloud: it waits")
        )
        await until(app, lambda text: "! uplink cloud: it waits" in text)
        agent.status_reply = replace(agent.status_reply, problems=())
        await until(app, lambda text: "acknowledged" not in text)
        agent.status_reply = replace(agent.status_reply, problems=("device press: no answer",))
        await until(app, lambda text: "! device press: no answer" in text)


async def test_tags_are_searched(path: Path) -> None:
    agent, app = ScriptedAgent(), screen(path)
    one, other = (f"{tag.device}/{tag.name}" for tag in agent.tags[:2])
    async with ControlServer(path, agent), app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await until(app, lambda text: one in text and other in text)
        await pilot.press("slash", *one.split("/")[1], "enter")
        await until(app, lambda text: one in text and other not in text)
        await pilot.press("escape")
        await until(app, lambda text: one in text and other in text)


async def test_a_part_is_restarted_on_the_second_press(path: Path) -> None:
    app = screen(path)
    async with ControlServer(path, ScriptedAgent()), app.run_test(size=(80, 24)) as pilot:
        await until(app, lambda text: "press" in text and "samples/s" in text)
        await pilot.press("r")
        await until(app, lambda text: "Press r again to restart device" in text)
        await pilot.press("r")
        await until(app, lambda text: "cannot" in text)  # no process of its own
    looking = Top(path, every_s=0.1, only_look=True, clock=FakeClock(NOW))
    async with ControlServer(path, ScriptedAgent()), looking.run_test(size=(80, 24)) as pilot:
        await until(looking, lambda text: "press" in text and "samples/s" in text)
        await pilot.press("r")
        await until(looking, lambda text: "this screen only looks" in text)
