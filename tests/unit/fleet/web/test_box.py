"""What the page of one box reads: its account, its events, its configuration and what differs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from forebay.columnar import encode_batch, encode_schema
from forebay.drivers.opcua.eventfields import COLUMNS, event_schema
from forebay.model import Batch, Quality, ValueType
from forebay_fleet._proto import uplink_pb2
from forebay_fleet.access import trail
from forebay_fleet.access.roles import Principal, Role
from forebay_fleet.artifacts.published import Published
from forebay_fleet.desired import states, witness
from forebay_fleet.errors import UsageError
from forebay_fleet.registry import Registry
from forebay_fleet.rollouts import labels
from forebay_fleet.store.reader import StoreReader
from forebay_fleet.web import box, editing, happenings
from support import many_boxes
from support.fleet import record
from support.fleet_ingest import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

S = 10**9
ADA = Principal("ada", Role.OPERATOR, "password")
EVENTS = event_schema("press")
TOML = b'[gateway]\nid = "${gateway}"\n'


def happened(first: int, count: int) -> Batch:
    """Give alarms that begin and end, each second one; the last has no message."""
    numbers = np.arange(first, first + count)
    quality = np.zeros((count, len(EVENTS.tags)), np.uint32)
    quality[-1, 4] = Quality.BAD_NO_COMMUNICATION
    lanes = []
    for lane in EVENTS.lanes:
        if lane.type is ValueType.STRING:
            values = np.full((count, len(lane.columns)), "", object)
            names = [COLUMNS[column].name for column in lane.columns.tolist()]
            values[:, names.index("message")] = [f"too hot {number}" for number in numbers]
            values[:, names.index("source")] = "oven"
        elif lane.type is ValueType.BOOL:
            values = np.repeat((numbers % 2 == 0)[:, None], len(lane.columns), axis=1)
        else:
            values = np.repeat(numbers[:, None].astype(np.uint16), len(lane.columns), axis=1)
        lanes.append(values)
    times = numbers * S
    return Batch(EVENTS, times, times, tuple(lanes), quality)


def sent(seq: int, batch: Batch) -> uplink_pb2.Record:
    times_ns = (int(batch.times_ns.min()), int(batch.times_ns.max()))
    return record(
        *(seq, uplink_pb2.BATCH, encode_batch([batch])),
        samples=batch.samples,
        times_ns=times_ns,
        stream=uplink_pb2.EVENTS,
    )


def test_the_newest_events_come_first_whatever_their_batch(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.hello()
    schema = record(1, uplink_pb2.SCHEMA, encode_schema(EVENTS), stream=uplink_pb2.EVENTS)
    server.send(
        schema, sent(2, happened(0, 40)), sent(3, happened(100, 5)), sent(4, happened(50, 5))
    )
    with StoreReader(tmp_path) as store:
        found = happenings.newest(store, "g", 12)
        stored = box.stored(store, "g")
    assert [event.time_ns // S for event in found] == [
        *range(104, 99, -1),
        *range(54, 49, -1),
        *(39, 38),
    ]
    assert found[1] == happenings.Event(103 * S, "press", "oven", "too hot 103", 103, active=False)
    assert found[0].message == ""
    (account,) = stored.streams
    assert (account.stream, account.mark, account.open) == ("events", "1/4", 0)
    assert account.records == 4


def test_a_box_that_never_sent_anything_has_an_empty_account(tmp_path: Path) -> None:
    Server(tmp_path)
    with StoreReader(tmp_path) as store:
        assert happenings.newest(store, "nobody") == []
        assert box.stored(store, "nobody") == box.Stored((), (), 0)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry(tmp_path) as opened:
        for part in (states, labels, trail, witness):
            part.prepare(opened)
        many_boxes.write(tmp_path, 1)
        yield opened


def proven(tmp_path: Path, contents: dict[str, bytes]) -> editing.Proof:
    return editing.prove(contents, {"gateway": many_boxes.name(0)}, Published(tmp_path))


def test_what_is_pushed_is_what_was_proven_and_stands_in_the_trail(
    registry: Registry, tmp_path: Path
) -> None:
    name = many_boxes.name(0)
    assert editing.told(registry, name) == editing.Told({}, b"")
    proof = proven(tmp_path, {"forebay.toml": TOML, "tags.csv": b"a,b\n"})
    place = (tmp_path, Published(tmp_path), time.time_ns(), "slower")
    pushed = editing.push(registry, ADA, name, proof, place)
    told = editing.told(registry, name)
    assert told.contents["forebay.toml"] == TOML.replace(b"${gateway}", name.encode())
    assert told.contents["tags.csv"] == b"a,b\n"
    assert told.hash == pushed.hash == states.config_hash(told.contents)
    (entry,) = trail.entries(registry, subject=name)
    assert (entry.who, entry.what, entry.why) == ("ada", "config.push", "slower")
    assert entry.details["hash"] == pushed.hash.hex()
    assert box.facts(registry, name).pushed == pushed.hash.hex()


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"forebay.toml": b"[gateway\n"}, "forebay.toml"),
        ({"forebay.toml": b'id = "${nobody}"\n'}, "nobody"),
        ({"other.toml": b""}, "has no forebay.toml"),
        ({"forebay.toml": b"", "../x": b""}, "no name"),
        ({"forebay.toml": b"\xff"}, "UTF-8"),
    ],
)
def test_what_is_wrong_is_told_with_a_hint_and_not_pushed(
    registry: Registry, tmp_path: Path, contents: dict[str, bytes], said: str
) -> None:
    proof = proven(tmp_path, contents)
    assert said in f"{proof.faults[0].path} {proof.faults[0].message}"
    assert proof.faults[0].hint
    place = (tmp_path, Published(tmp_path), 1, "")
    with pytest.raises(UsageError):
        editing.push(registry, ADA, many_boxes.name(0), proof, place)
    assert trail.entries(registry, subject=many_boxes.name(0)) == []


def test_a_diff_names_what_is_added_taken_and_changed() -> None:
    before = {"a": b"1\n2\n", "gone": b"x\n", "same": b"s\n", "picture": b"\xff\x00"}
    after = {"a": b"1\n3\n", "new": b"y\n", "same": b"s\n", "picture": b"\xff\x01\x02"}
    lines = editing.diff(before, after)
    assert [line for line in lines if line[:1] in "+-" and line[:3] not in {"+++", "---"}] == [
        *("-2", "+3", "-x", "+y"),
    ]
    assert "~~~ picture: 2 -> 3 bytes" in lines
    assert not any("same" in line for line in lines)
    assert editing.diff(before, before) == []
