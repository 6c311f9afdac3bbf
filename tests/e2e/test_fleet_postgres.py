"""One server on PostgreSQL in place of SQLite: killed, cut off from it, and asked by commands."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.db import place
from support.fleet import FleetServer, Gateway, anchor
from support.fleet_ingest import EPOCH

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Postgres

pytestmark = pytest.mark.e2e
DISK_FAILED = 74


def head(next_seq: int) -> uplink_pb2.Head:
    return uplink_pb2.Head(stream=uplink_pb2.TELEMETRY, epoch=EPOCH, first_seq=1, next_seq=next_seq)


async def test_a_server_on_postgresql_loses_nothing_it_acked(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.fresh()
    with FleetServer(tmp_path, "--database", url) as server:
        files = server.issue("press-hall-1")
        async with Gateway(server.address, files, heads=[head(1)]) as gateway:
            await gateway.send(*(anchor(seq) for seq in range(1, 6)))
            await gateway.ack_up_to(5)
            server.kill()
        server.start()
        async with Gateway(server.address, files, heads=[head(6)]) as gateway:
            assert gateway.welcome.committed[0].committed_seq == 5
            await gateway.send(*(anchor(seq) for seq in range(4, 9)))
            await gateway.ack_up_to(8)
            # The database goes: nothing is acked that is not there, and a supervisor starts anew.
            postgres.end(signal.SIGQUIT)
            await gateway.send(anchor(9))
            assert server.wait() == DISK_FAILED
        postgres.start()
        server.start()
        async with Gateway(server.address, files, heads=[head(10)]) as gateway:
            assert gateway.welcome.committed[0].committed_seq == 8
            await gateway.send(anchor(9))
            await gateway.ack_up_to(9)
        (line,) = server.read_json("ledger", "--verify")["lines"]
        assert (line["records"], line["duplicates"]) == (9, 2)
        (box,) = server.read_json("gateways")
        assert box["name"] == "press-hall-1"
        assert not {"fleet.db", "registry.db"} & {path.name for path in server.data.iterdir()}
        assert place.address(server.data) == url
        assert "postgresql://" not in server.log.read_text("utf-8")
