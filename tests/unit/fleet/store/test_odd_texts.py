"""Texts of a box that a database may not take: none of them costs anybody else anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.store.reader import StoreReader
from support.fleet import record
from support.fleet_ingest import Server, codes

if TYPE_CHECKING:
    from pathlib import Path

NUL = "a\0b"
LONG = "\N{GREEK SMALL LETTER MU}" * 501


def described(seq: int, source: str, group: str, tag: str) -> uplink_pb2.Record:
    message = batch_pb2.Schema(id=7, source=source, group=group)
    message.tags.add(name=tag, type=batch_pb2.BOOL)
    return record(seq, uplink_pb2.SCHEMA, message.SerializeToString())


def test_no_character_stops_the_store(data: Path) -> None:
    server = Server(data)
    hello = uplink_pb2.Hello(gateway="g", version=NUL, boot_id=NUL)
    with server.store.transaction():
        server.gateway, _ = server.ingest.greet(hello)
    gap = batch_pb2.Gap(cause=batch_pb2.CORRUPT, source=NUL, samples=1).SerializeToString()
    assert codes(server.send(described(1, NUL, NUL, NUL))) == []
    assert codes(server.send(record(2, uplink_pb2.GAP, gap, samples=1))) == []
    server.store.close()
    with StoreReader(data) as reader:
        (gateway,) = reader.gateways()
        assert gateway.version in {NUL, "a\ufffdb"}
        (line,) = reader.lines()
        assert (line.records, line.gapped) == (2, 1)
        assert not server.verified()


@pytest.mark.parametrize("place", range(3))
def test_a_name_that_no_index_takes_is_refused_for_good(data: Path, place: int) -> None:
    server = Server(data)
    server.hello((1, 2))
    names = ["press", "fast", "t"]
    names[place] = LONG
    assert codes(server.send(described(1, *names))) == [(1, "BadEncodingLimitsExceeded", True)]
    names[place] = LONG[1:]
    assert server.send(described(2, *names)).rejected == []
    server.store.close()
