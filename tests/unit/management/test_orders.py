"""What a box remembers of commands: once, over restarts, power cuts and damage."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay._proto import fleet_pb2 as pb
from forebay.management.orders import DAY_NS, FLOOR, CommandDropped, Entry, Orders
from forebay.testing.disk import FaultyDisk, PowerCut

FOLDER = Path("/state/fleet/commands")
NOW = 1_800_000_000 * 10**9
DONE = pb.CommandResult(outcome=pb.COMMAND_DONE)


def entry(number: int, not_after_ns: int = NOW + DAY_NS // 2, payload: str = "ab") -> Entry:
    return Entry(f"{number:016d}", payload, not_after_ns)


def test_an_id_is_begun_once_also_after_a_restart() -> None:
    disk = FaultyDisk()
    orders = Orders(FOLDER, disk, NOW)
    assert orders.begin(entry(1)) is None
    known = orders.begin(entry(1))
    assert known is not None
    assert known.result is None
    orders.note(entry(1).id, DONE)
    again = Orders(FOLDER, disk.reboot(random.Random(1)), NOW)
    known = again.begin(entry(1))
    assert known is not None
    assert known.result == DONE.SerializeToString()
    with pytest.raises(CommandDropped, match="two of its id"):
        again.begin(entry(1, payload="cd"))


@pytest.mark.parametrize("changes", range(12))
def test_what_may_have_been_executed_is_known_after_a_power_cut(changes: int) -> None:
    disk = FaultyDisk()
    begun = False
    disk.cut_after(changes)
    try:
        orders = Orders(FOLDER, disk, NOW)
        begun = orders.begin(entry(1)) is None
        orders.note(entry(1).id, DONE)
    except (OSError, PowerCut):
        pass
    for seed in range(4):
        known = Orders(FOLDER, disk.reboot(random.Random(seed)), NOW).get(entry(1).id)
        assert known is not None or not begun


def test_what_is_forgotten_is_not_taken_for_new() -> None:
    disk = FaultyDisk()
    orders = Orders(FOLDER, disk, NOW)
    orders.begin(entry(1))
    orders.note(entry(1).id, DONE)
    orders.forget(NOW + DAY_NS)
    assert orders.get(entry(1).id) is not None
    orders.forget(NOW + 2 * DAY_NS)
    assert orders.get(entry(1).id) is None
    with pytest.raises(CommandDropped) as dropped:
        orders.begin(entry(1))
    assert dropped.value.code == "replay"
    for seed in range(8):  # the floor is durable, the file may be back
        again = Orders(FOLDER, disk.reboot(random.Random(seed)), NOW)
        with contextlib.suppress(CommandDropped):
            assert again.begin(entry(1)) is not None


def test_a_damaged_floor_lets_nothing_be_taken_that_could_be_old() -> None:
    disk = FaultyDisk()
    disk.makedirs(FOLDER)
    disk.write_atomic(FOLDER / FLOOR, b"\xff?")
    for now_ns in (NOW, NOW + DAY_NS // 2):  # it does not grow with each start
        orders = Orders(FOLDER, disk, now_ns)
        with pytest.raises(CommandDropped):
            orders.begin(entry(1, NOW + DAY_NS))
    assert orders.begin(entry(2, NOW + DAY_NS + 1)) is None


def test_a_damaged_command_is_not_done_again_and_is_forgotten_in_time() -> None:
    disk = FaultyDisk()
    orders = Orders(FOLDER, disk, NOW)
    orders.begin(entry(1))
    disk.write_atomic(FOLDER / entry(1).id, b"[")
    orders = Orders(FOLDER, disk, NOW)
    known = orders.begin(entry(1))
    assert known is not None
    assert known.result is None
    orders.forget(NOW + 2 * DAY_NS + 1)
    assert not orders.entries()


@given(st.lists(st.tuples(st.sampled_from("bnfar"), st.integers(1, 4), st.integers(0, 5))))
def test_nothing_is_ever_begun_twice(steps: list[tuple[str, int, int]]) -> None:
    """Begin, note, forget, accept and restart in any order, at any time of any clock."""
    disk = FaultyDisk()
    orders, begun = Orders(FOLDER, disk, NOW), set[int]()
    for step, number, days in steps:
        if step == "b":
            try:
                fresh = orders.begin(entry(number)) is None
            except CommandDropped:
                continue
            assert not (fresh and number in begun)
            begun.add(number)
        elif step == "n" and orders.get(entry(number).id):
            orders.note(entry(number).id, DONE)
        elif step == "f":
            orders.forget(NOW + days * DAY_NS)
        elif step == "a":
            orders.accept(entry(number).id)
        elif step == "r":
            disk = disk.reboot(random.Random(days))
            orders = Orders(FOLDER, disk, NOW + days * DAY_NS)
