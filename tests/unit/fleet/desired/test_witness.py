"""What a box said of its journal is remembered, and a journal that went back is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.desired import reports, states, witness
from forebay_fleet.registry import Registry, RegistryThread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOX = b"b" * 16


def epoch(run: int, draw: int = 7) -> int:
    return run << witness.EPOCH_RANDOM_BITS | draw


def heads(instance: bytes = BOX, **streams: tuple[int, int]) -> witness.Heads:
    return witness.Heads("gw-1", instance, streams)


@pytest.fixture
def registry(data: Path) -> Iterator[Registry]:
    with Registry(data) as opened:
        states.prepare(opened)
        witness.prepare(opened)
        yield opened


def said(registry: Registry, *each: witness.Heads) -> list[list[str]]:
    found = []
    for number, one in enumerate(each):
        with registry.transaction() as db:
            found.append(witness.note(db, one, number + 1))
    return found


def test_a_journal_that_goes_on_is_no_news(registry: Registry) -> None:
    begin = heads(telemetry=(epoch(1), 10), events=(epoch(1), 1))
    more = heads(telemetry=(epoch(1), 10_000), events=(epoch(1), 1))
    again = heads(telemetry=(epoch(2, 1), 1), events=(epoch(2, 1), 1))
    assert said(registry, begin, more, more, again) == [[], [], [], []]
    assert witness.told(registry) == {}


def test_a_copy_that_was_put_back_is_told_once(registry: Registry) -> None:
    later = heads(telemetry=(epoch(3), 5_000), events=(epoch(3), 9))
    back = heads(telemetry=(epoch(3), 4_000), events=(epoch(3), 9))
    found = said(registry, later, back, back)
    assert [len(one) for one in found] == [0, 1, 0]
    assert "5,000" in found[1][0]
    assert "4,000" in found[1][0]
    assert witness.told(registry) == {"gw-1": [(2, found[1][0])]}


@pytest.mark.parametrize("other", [epoch(3, 8), epoch(2, 9), epoch(1)])
def test_another_journal_of_the_same_box_is_told(registry: Registry, other: int) -> None:
    _, found = said(registry, heads(audit=(epoch(3), 5)), heads(audit=(other, 50_000)))
    assert len(found) == 1
    assert "another journal" in found[0]


def test_another_box_of_the_same_name_has_a_journal_of_its_own(registry: Registry) -> None:
    old, new = heads(telemetry=(epoch(9), 900)), heads(b"n" * 16, telemetry=(epoch(1), 1))
    assert said(registry, old, new) == [[], []]


def test_what_no_box_says_is_passed_over() -> None:
    made = [
        fleet_pb2.JournalHead(stream="telemetry", epoch=1 << 63, next_seq=5),
        fleet_pb2.JournalHead(stream="events", epoch=5, next_seq=1 << 63),
        fleet_pb2.JournalHead(stream="'; DROP TABLE", epoch=5, next_seq=5),
        fleet_pb2.JournalHead(stream="bulk", epoch=epoch(1), next_seq=2),
    ]
    assert witness.read("gw-1", BOX, made).heads == {"bulk": (epoch(1), 2)}


async def test_what_goes_back_between_two_commits_is_not_passed_over(data: Path) -> None:
    async with RegistryThread(data) as registry:
        await registry(states.prepare)
        await registry(witness.prepare)
        kept = reports.Reports(registry)
        for next_seq in (5_000, 4_000, 4_001):  # all within one second
            kept.saw(heads(telemetry=(epoch(3), next_seq)))
        with capture_logs() as logs:
            await kept.flush()
            kept.saw(heads(telemetry=(epoch(3), 4_002)))
            await kept.flush()
        events = [(one["event"], one["gateway"]) for one in logs]
        assert events == [("journal_went_back", "gw-1")]
        assert "gw-1" in await registry(witness.told)
