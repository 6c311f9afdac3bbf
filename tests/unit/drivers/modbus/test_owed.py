"""What a unit owes, and what it may be asked meanwhile."""

from __future__ import annotations

import pytest

from forebay.drivers.modbus.codec import compile_request
from forebay.drivers.modbus.owed import MOST, REST_S, Owed
from forebay.errors import DeviceUnreachable

PROBES = [compile_request(1, "holding", 0, count, 0) for count in (1, 2, 3)]


def test_a_probe_never_has_an_answer_that_is_owed() -> None:
    owed = Owed()
    assert owed.distinct(1, PROBES, 0.0) is PROBES[0]
    for number, probe in enumerate(PROBES[:-1]):
        owed.add(probe, 0.0, 1.0)
        assert owed.distinct(1, PROBES, 1.0) is PROBES[number + 1]
    owed.add(PROBES[-1], 0.0, 1.0)
    with pytest.raises(DeviceUnreachable, match="unit 1 is left alone"):
        owed.distinct(1, PROBES, 1.0)


def test_another_function_is_another_answer() -> None:
    owed = Owed()
    owed.add(compile_request(1, "input", 0, 1, 0), 0.0, 1.0)
    assert owed.distinct(1, PROBES, 1.0) is PROBES[0]


def test_after_a_rest_nothing_is_owed_any_more() -> None:
    owed = Owed()
    owed.add(PROBES[0], 0.0, 1.0)
    assert owed.owes(1, 1.0 + REST_S)
    assert not owed.owes(1, 1.1 + REST_S)
    assert not owed.requests()


def test_what_came_is_not_owed_and_tells_how_long_it_took() -> None:
    owed = Owed()
    owed.add(PROBES[0], 1.0, 2.0)
    assert owed.came(PROBES[0], 5.0) == 4.0
    assert not owed.owes(1, 5.0)


def test_units_are_told_apart_and_memory_has_an_end() -> None:
    owed = Owed()
    for _ in range(MOST + 3):
        owed.add(PROBES[0], 0.0, 0.0)
    assert len(owed.requests()) == MOST
    assert not owed.owes(2, 0.0)
    owed.settled(1)
    assert not owed.requests()
