"""Updates as a running agent begins and judges them, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.errors import RequestFailed, RequestInvalid
from forebay.files import SystemDisk
from forebay.launcher.book import BOOTS, FOLDER, INSTALLED, Book, Package, Slots, Trial
from forebay.management.slots import BEFORE, AgentSlots, other, stage
from forebay.management.views import DeviceVitals, JournalVitals, UplinkVitals, Vitals
from support.processes import until
from support.seams import system_seams
from support.slots import package

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PROBATION_S = 5.0


class Agent:
    """What an update sees of an agent: it polls well until `deaf`."""

    def __init__(self) -> None:
        self.began_s = asyncio.get_running_loop().time()
        self.deaf, self.looks = False, 0
        fleet = SimpleNamespace(update_probation=PROBATION_S)
        self.loaded: Any = SimpleNamespace(config=SimpleNamespace(fleet=fleet), quarantined=())

    def vitals(self) -> Vitals:
        self.looks += 1
        now_s = asyncio.get_running_loop().time()
        polls = int((now_s - self.began_s) * 10) + 1
        last_s = None if self.deaf else now_s
        return Vitals(
            monotonic_s=now_s,
            devices={"press": DeviceVitals(self.began_s, polls, 10.0, polls, last_s)},
            journal=JournalVitals(polls, now_s, ""),
            uplinks={"cloud": UplinkVitals(self.began_s, polls, connected=True)},
            fleet_connected=None,
            memory_bytes=1 << 20,
            restarts=0,
        )


@asynccontextmanager
async def running(state: Path, mine: str | None, agent: Agent) -> AsyncIterator[tuple[Any, Any]]:
    left = asyncio.Event()
    slots = AgentSlots(state, mine, agent, system_seams(), left.set)  # type: ignore[arg-type]
    task = asyncio.create_task(slots.run(), name="slots")
    try:
        yield slots, left
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_an_offer_is_staged_and_the_agent_leaves(tmp_path: Path) -> None:
    good = package(tmp_path / "good.tar", "9.1.0")
    async with running(tmp_path, "installed", Agent()) as (slots, left):
        with pytest.raises(RequestInvalid, match=r"it is version 9\.1\.0, and 9\.2\.0 was offered"):
            await slots.offer("9.2.0", good, "one")
        assert not left.is_set()
        await slots.offer("9.1.0", good, "one")
        assert left.is_set()
        trial = slots.book().trial
        assert (trial.slot, trial.previous, trial.package.version) == ("a", INSTALLED, "9.1.0")
        assert trial.baseline["devices"]["press"]["good"]
        with pytest.raises(RequestFailed, match="is on trial"):
            await slots.offer("9.1.0", good, "two")
        Slots(tmp_path / FOLDER, SystemDisk()).write(slots.book().give_up("it crashed"))
        with pytest.raises(RequestInvalid, match="failed before: it crashed"):
            await slots.offer("9.1.0", good, "one")
        await slots.offer("9.1.0", good, "two")
    assert (tmp_path / FOLDER / BEFORE).exists()


async def test_without_a_launcher_there_are_no_updates(tmp_path: Path) -> None:
    async with running(tmp_path, None, Agent()) as (slots, _):
        with pytest.raises(RequestFailed, match="launcher"):
            await slots.offer("9.1.0", tmp_path / "none", "one")
    assert not (tmp_path / FOLDER).exists()


def on_trial(state: Path, boots_left: int = BOOTS - 1) -> Slots:
    slots = Slots(state / FOLDER, SystemDisk())
    trial = Trial("a", INSTALLED, Package("9.1.0", "ab", "one"), PROBATION_S, boots_left)
    slots.write(Book().put_on_trial(trial))
    return slots


@pytest.mark.parametrize("deaf", [False, True])
async def test_what_was_staged_by_hand_is_judged_by_what_worked_at_the_last_stop(
    tmp_path: Path, *, deaf: bool
) -> None:
    before = Agent()
    async with running(tmp_path, "installed", before):
        looks = before.looks
        await until(lambda: before.looks > looks + 1, "it has looked")
    book = on_trial(tmp_path)
    after = Agent()
    after.deaf = deaf
    async with running(tmp_path, "a", after) as (_, left):
        await until(lambda: book.read().trial is None, "its trial has ended")
        await until(lambda: left.is_set() is deaf, "it leaves if it goes back")
    ended = book.read()
    assert ended.current == (INSTALLED if deaf else "a")
    assert ended.outcomes[0].kept is not deaf


async def test_a_trial_that_could_not_be_begun_has_ended(tmp_path: Path) -> None:
    book = on_trial(tmp_path)
    async with running(tmp_path, "installed", Agent()) as (_, left):
        await until(lambda: book.read().trial is None, "that is noted")
        assert not left.is_set()
    assert book.read().current == INSTALLED


@pytest.mark.parametrize(("mine", "boots_left"), [("installed", BOOTS), (None, BOOTS - 1)])
async def test_a_trial_that_is_not_begun_yet_or_by_another_is_left_alone(
    tmp_path: Path, mine: str | None, boots_left: int
) -> None:
    book = on_trial(tmp_path, boots_left)
    before, agent = book.read(), Agent()
    async with running(tmp_path, mine, agent) as (_, left):
        await until(lambda: agent.looks > 1, "it looks")
        assert not left.is_set()
    assert book.read() == before


async def test_a_slot_is_not_filled_while_its_agent_runs(tmp_path: Path) -> None:
    good = package(tmp_path / "good.tar", "9.1.0")
    async with running(tmp_path, "a", Agent()) as (slots, _):  # it is about to go back
        with pytest.raises(RequestFailed, match="goes back"):
            await slots.offer("9.1.0", good, "one")


async def test_an_offer_that_is_given_up_is_staged_to_its_end(tmp_path: Path) -> None:
    good = package(tmp_path / "good.tar", "9.1.0")
    async with running(tmp_path, "installed", Agent()) as (slots, left):
        offering = asyncio.create_task(slots.offer("9.1.0", good, "one"), name="offer")
        await until((tmp_path / FOLDER / ".a.new").exists, "it is being filled")
        offering.cancel()
        await asyncio.wait((offering,))
        assert offering.cancelled()
        assert left.is_set(), "it begins at once, and not with whatever start comes next"
        assert slots.book().trial.slot == "a"


def test_the_slot_to_fill_is_not_the_one_that_runs() -> None:
    assert [other(one) for one in (INSTALLED, "a", "b")] == ["a", "b", "a"]


async def test_two_updates_at_once_do_not_fill_one_slot(tmp_path: Path) -> None:
    good = package(tmp_path / "good.tar", "9.1.0")
    by_hand = Slots(tmp_path / FOLDER, SystemDisk())
    async with running(tmp_path, "installed", Agent()) as (slots, left):
        held = by_hand.lock()  # as `forebay update apply` does in another process
        assert held is not None
        with pytest.raises(RequestFailed, match="another update is under way"):
            await slots.offer("9.1.0", good, "one")
        assert not (tmp_path / FOLDER / "a").exists()
        held.close()
        await slots.offer("9.1.0", good, "one")
        assert left.is_set()


def test_what_was_planned_before_another_update_is_not_staged(tmp_path: Path) -> None:
    good = package(tmp_path / "good.tar", "9.1.0")
    slots = on_trial(tmp_path)
    planned = Trial("a", INSTALLED, Package("9.1.0", "cd", "two"), PROBATION_S)
    with pytest.raises(RequestFailed, match="has been put in place"):
        stage(slots, planned, good, None)
    slots.write(Book("b"))  # a person went back to it meanwhile
    with pytest.raises(RequestFailed, match="has been put in place"):
        stage(slots, Trial("b", "a", planned.package, PROBATION_S), good, None)
    assert slots.read() == Book("b")
    assert not (tmp_path / FOLDER / "b").exists()


async def test_the_end_of_a_trial_waits_for_who_changes_the_book(tmp_path: Path) -> None:
    book, agent = on_trial(tmp_path), Agent()
    held = book.lock()
    assert held is not None
    async with running(tmp_path, "a", agent) as (_, left):
        await until(lambda: agent.looks > PROBATION_S + 2, "its time is over")
        assert book.read().trial is not None
        held.close()
        await until(lambda: book.read().trial is None, "it is noted then")
        assert not left.is_set()
    assert book.read().current == "a"


@pytest.mark.parametrize("told", [{"more": 1}, {"devices": [1], "acking": []}, {"devices": {}}])
async def test_what_worked_before_may_be_told_as_another_version_tells_it(
    tmp_path: Path, told: dict[str, Any]
) -> None:
    """Else no version could ever follow one that says it otherwise."""
    book = on_trial(tmp_path)
    now = book.read()
    assert now.trial is not None
    book.write(now.put_on_trial(replace(now.trial, baseline=told)))
    async with running(tmp_path, "a", Agent()):
        await until(lambda: book.read().trial is None, "its trial has ended")
    assert book.read().current == "a"
