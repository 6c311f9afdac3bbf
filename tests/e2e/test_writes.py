"""A setpoint from the command line to a PLC, and its audit to every destination that there is."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from support.mqtt_sink import Sink
from support.nats import Nats
from support.processes import GATEWAY, World, until
from support.writable_plc import WritablePlc

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

CONFIG = """
[writes]
enabled = true
[[writes.allow]]
tags = ["press/*"]
min = 0
max = 80
rate = "100/s"
[uplinks.files]
kind = "file"
directory = "{directory}/out"
format = "jsonl"
[uplinks.broker]
kind = "mqtt"
host = "127.0.0.1"
port = {broker}
tls = false
version = "3.1.1"
[devices.press]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
groups.default.period = "200 ms"
[[devices.press.tags]]
name = "Setpoint"
address = "holding:7"
type = "int16"
scale = 0.1
access = "read_write"
[[devices.press.tags]]
name = "Ratio"
address = "holding:10"
type = "float32"
access = "write"
"""


async def test_a_write_reaches_the_plc_and_its_audit_every_destination(tmp_path: Path) -> None:
    async with (
        WritablePlc() as plc,
        Nats(tmp_path / "nats") as broker,
        World(tmp_path) as world,
    ):
        world.write_config(CONFIG.format(directory=tmp_path, port=plc.port, broker=broker.port))
        sink = Sink(broker.port, "forebay/#", modern=False, mark="forebay/mark")
        await asyncio.to_thread(sink.__enter__)
        await world.server.start()
        await world.agent.start()
        await until(lambda: plc.reads > 2, "it polls")
        code, reply = await world.ask("write", "press/Setpoint", "42.5", "--reason", "warm up")
        assert (code, reply["outcome"], reply["read_back"]) == (0, "good", 42.5)
        assert reply["took_ms"] > 0
        code, reply = await world.ask("write", "press/Ratio", "1.5")
        assert (code, reply["outcome"], reply["read_back"]) == (0, "good", None)
        code, refused = await world.ask("write", "press/Setpoint", "99")
        assert (code, refused["outcome"]) == (1, "refused")
        assert [(address, len(values)) for _, address, values in plc.writes] == [(7, 1), (10, 2)]
        assert plc.registers[7] == 425
        assert plc.registers[10:12] == [0x3FC0, 0]

        await world.delivered()
        _, document = await world.ask("ledger")
        lines = {(line["stream"], line["uplink"]): line for line in document["lines"]}
        assert {"audit", "telemetry"} == {stream for stream, _ in lines}
        for line in lines.values():
            parts = ("delivered", "pending", "gapped", "quarantined")
            assert line["produced"] == sum(line[part] for part in parts)
        audit = lines["audit", "cloud"]
        delivered = {lines["audit", name]["delivered"] for name in ("cloud", "files", "broker")}
        assert delivered == {audit["produced"]}
        assert audit["produced"] > 0

        assert await world.agent.stop() == 0
        await asyncio.to_thread(sink.catch_up)
        await asyncio.to_thread(sink.__exit__)
        heard = [json.loads(text) for topic, text in sink.messages if "/_writes/audit/" in topic]
        outcomes = [row["value"] for row in heard if row["tag"] == "outcome"]
        assert outcomes == ["", "good", "", "good", "refused"]
        said = tmp_path / "ledger.json"
        said.write_text(json.dumps(document), "utf-8")
        against = ("--against", str(said), "--uplink", "cloud", "--gateway", GATEWAY)
        await world.ask_fleet("ledger", *against)  # which fails if they do not agree
        ledger = await world.ask_fleet("ledger", "--verify")
        stored = {line["stream"]: line for line in ledger["lines"]}
        assert stored["audit"]["samples"] == audit["produced"]
        assert ledger["verified"]["problems"] == []
        for column, wanted in (
            ("outcome", ["", "good", "", "good", "refused"]),
            ("reason", ["warm up", "warm up", "", "", ""]),
        ):
            words = ("--gateway", GATEWAY, "--tag", f"_writes/{column}", "--ordered")
            answer = await world.ask_fleet("query", *words)
            assert [value["value"] for value in answer["values"]] == wanted
        rows = [
            json.loads(line)
            for file in (tmp_path / "out").rglob("*.jsonl*")
            for line in file.read_text().splitlines()
        ]
        told = [
            r["value"] for r in rows if (r.get("device"), r.get("tag")) == ("_writes", "target")
        ]
        assert told.count("press/Setpoint") == 3
        assert told.count("press/Ratio") == 2
