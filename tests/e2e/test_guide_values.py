"""The guide to values by HTTP and gRPC, typed line by line; only ports and the token are others."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet
import pytest

from forebay.columnar import encode_batch, encode_schema
from forebay.model import Batch, Schema, Tag, ValueType
from forebay_fleet._proto import uplink_pb2
from forebay_fleet.certificates import issue_gateway
from support.fleet import ClientFiles, Gateway, record
from support.processes import free_port
from support.shown import commands
from support.typist import GUIDES, Typist, blocks

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
SCHEMA = Schema(
    "meter",
    "default",
    (
        Tag("voltage L1", "input:0", ValueType.FLOAT32, "V"),
        Tag("power", "input:52", ValueType.FLOAT32, "kW", 0.001),
    ),
)


def scan(seq: int) -> uplink_pb2.Record:
    """What the meter says now."""
    times = np.array([time.time_ns()])
    made = Batch(SCHEMA, times, times + 1000, (np.array([[230.5, 1234.0]], np.float32),))
    at = int(times[0])
    payload = encode_batch([made])
    return record(seq, uplink_pb2.BATCH, payload, samples=2, times_ns=(at, at))


async def send_on(address: str, files: ClientFiles, began: asyncio.Event) -> None:
    """Be the box of the guides before, from its first scan on."""
    async with Gateway(address, files, "first-box") as gateway:
        await gateway.send(record(1, uplink_pb2.SCHEMA, encode_schema(SCHEMA)))
        seq = 2
        while True:
            await gateway.send(scan(seq))
            await gateway.ack_up_to(seq)
            began.set()
            seq += 1
            await asyncio.sleep(0.1)


@pytest.mark.follows("docs/guides/values.md")
async def test_values_by_http_and_grpc(tmp_path: Path) -> None:
    guide = (GUIDES / "values.md").read_text("utf-8")
    ports = {number: str(free_port()) for number in ("7443", "7444", "7445", "8443")}
    typed = commands(guide)
    assert len(typed) == 15
    done: dict[str, str] = {}
    token = ""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        typist = Typist(tmp_path, stack)
        for line in ("forebay-fleet ca init pki", "forebay-fleet ca issue pki --host localhost"):
            assert (await typist.type(line))[0] == 0
        issue_gateway(tmp_path / "pki", tmp_path / "pki", "first-box", 1)
        names = ("ca.crt", "first-box.crt", "first-box.key")
        files = ClientFiles(*(tmp_path / "pki" / name for name in names))
        (tmp_path / "proto").symlink_to(GUIDES.parents[1] / "proto")
        (program,) = blocks(guide, "python")
        (tmp_path / "ask.py").write_text(program.replace("7445", ports["7445"]), "utf-8")
        box: asyncio.Task[None] | None = None
        for line in typed:
            text = re.sub("744[345]|8443", lambda found: ports[found[0]], line)
            if line.startswith("export TOKEN="):
                token = done[next(one for one in done if "api-token add" in one)].split()[-1]
                await typist.type(f"export TOKEN={token}")
                continue
            if "api-token add" in line:
                await typist.until("forebay-fleet gateways --data fleet", lambda _: True)
            code, done[line] = await typist.type(text.replace("$TOKEN", token))
            assert code == (28 if "--max-time" in line else 0), f"{text}\n{done[line]}"
            if "api-token add" in line:
                began = asyncio.Event()
                address = f"localhost:{ports['7443']}"
                box = group.create_task(send_on(address, files, began), name="test.box")
                await began.wait()
        assert box is not None
        box.cancel()

    def answer(part: str) -> str:
        (said,) = [said for line, said in done.items() if part in line]
        return said[said.index("{") :] if "{" in said else said

    (power,) = json.loads(answer("/values?"))["series"]
    assert power["values"][-1]["value"] == pytest.approx(1.234)
    steps = json.loads(answer("/ranges?"))["series"]
    assert [one["tag"] for one in steps] == ["meter/power", "meter/voltage L1"]
    assert max(steps[1]["samples"]) > 0
    assert json.loads(answer("/ordered?"))["values"]
    assert "event: values" in done[next(line for line in done if "/live?" in line)]
    told = done["python ask.py"].splitlines()
    assert [line.partition(" [")[0] for line in told[:2]] == ["meter/power", "meter/voltage L1"]
    assert [line.rpartition(" ")[2] for line in told[:2]] == ["kW", "V"]
    assert told[2].startswith("live: [1.234")
    assert "meter/power" in (tmp_path / "values.csv").read_text("utf-8")
    for name in ("values.parquet", "all.parquet"):
        assert pyarrow.parquet.read_table(tmp_path / name).num_rows > 0
