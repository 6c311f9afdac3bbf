"""Records that were acknowledged and have no place: who looks finds them, whatever the database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from forebay_fleet.cli import app
from forebay_fleet.store.reader import StoreReader
from forebay_fleet.web import box
from support.fleet import anchor
from support.fleet_ingest import EPOCH, Server

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Postgres


def types(data: Path, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--data", str(data)])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_what_is_kept_aside_is_shown(postgres: Postgres, tmp_path: Path) -> None:
    data = postgres.site(tmp_path)
    server = Server(data)
    server.hello(name="other")
    server.hello()
    with server.store.transaction():
        for seq in (7, 8, 8):  # the last comes again
            server.store.aside.keep(
                server.gateway, anchor(seq), bytes([seq]) * 32, "Forked", seq * 10**9
            )
    server.store.close()
    with StoreReader(data) as reader:
        assert [(row.seq, row.code) for row in reader.aside.listed()] == [
            (7, "Forked"),
            (8, "Forked"),
        ]
        assert [row.seq for row in reader.aside.listed("g", 1)] == [8]
        assert reader.aside.listed("other") == []
        assert [row.seq for row in box.stored(reader, "g").aside] == [7, 8]
    assert "ALARM    2 records of g kept aside; see aside" in types(data, "gateways")
    counts = {one["name"]: one["aside"] for one in json.loads(types(data, "gateways", "--json"))}
    assert counts == {"g": 2, "other": 0}
    lines = types(data, "aside", "--gateway", "g").splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["g", "telemetry", "1/7", "Forked"],
        ["g", "telemetry", "1/8", "Forked"],
    ]
    (newest,) = json.loads(types(data, "aside", "--limit", "1", "--json"))
    assert newest == {
        "gateway": "g",
        "stream": "telemetry",
        "epoch": f"{EPOCH:016x}",
        "seq": 8,
        "hash": "08" * 32,
        "code": "Forked",
        "at_ns": 8 * 10**9,
        "size": anchor(8).ByteSize(),
    }


def test_a_store_of_its_own_keeps_none(tmp_path: Path) -> None:
    """There a box is told at once, and keeps such a record itself."""
    server = Server(tmp_path)
    server.hello()
    server.store.close()
    assert types(tmp_path, "aside") == "no record is kept aside\n"
    assert "ALARM" not in types(tmp_path, "gateways")
    assert json.loads(types(tmp_path, "aside", "--json")) == []
