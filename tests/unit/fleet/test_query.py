"""What a gateway sent is what a person reads back: values, scale, quality, times, text."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from forebay.columnar import encode_batch, encode_schema
from forebay.model import Batch, Quality, Schema, Tag, ValueType, quality_name
from forebay.statuscodes import NAMES as AGENT_NAMES
from forebay_fleet import query as query_module
from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.statuscodes import NAMES as FLEET_NAMES
from support.fleet import FleetServer, Gateway, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND_NS = 1_000_000_000
START_NS = 1_760_000_000 * SECOND_NS  # 2025-10-09T08:53:20Z
GATEWAY = "press-hall-1"
DENSE = Schema(
    "press",
    "fast",
    (
        Tag("pressure", "holding:1", ValueType.INT16, "bar", 0.1, -5.0),
        Tag("running", "coil:1", ValueType.BOOL),
        Tag("count", "holding:2", ValueType.UINT64),
        Tag("product", "holding:9", ValueType.STRING),
        Tag("level", "holding:4", ValueType.FLOAT64, "m"),
    ),
)
SPARSE = Schema(
    "oven",
    "events",
    (
        Tag("temperature", "ns=2;s=T", ValueType.FLOAT32, "degC"),
        Tag("recipe", "ns=2;s=R", ValueType.STRING),
        Tag("setpoint", "ns=2;s=S", ValueType.FLOAT32, "degC", 2.0, 1.0),
    ),
)


def texts(*values: str) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def dense_batch(start: int, rows: int, schema: Schema = DENSE) -> Batch:
    numbers = np.arange(start, start + rows)
    quality = np.zeros((rows, 5), np.uint32)
    quality[numbers == 2, 0] = Quality.BAD_NO_COMMUNICATION
    quality[numbers == 3, 0] = Quality.UNCERTAIN_LAST_USABLE_VALUE
    values = {
        ValueType.BOOL: (numbers % 2 == 0)[:, None],
        ValueType.INT16: (numbers * 10).astype(np.int16)[:, None],
        ValueType.UINT64: (np.uint64((1 << 64) - 1) - numbers.astype(np.uint64))[:, None],
        ValueType.FLOAT64: (numbers / 3)[:, None],
        ValueType.STRING: texts(*(f"Träger {number}" for number in numbers))[:, None],
    }
    times = START_NS + numbers * SECOND_NS
    lanes = tuple(values[lane.type] for lane in schema.lanes)
    return Batch(schema, times, times + 1_000_000, lanes, quality)


def sparse_batch() -> Batch:
    index = np.array([0, 1, 2, 0, 2, 1], np.uint32)
    times = START_NS + np.arange(6) * SECOND_NS
    floats = np.array([20.5, 90.0, 21.5, 91.0], np.float32)
    quality = np.array([0, 0, 0, 0, Quality.BAD_NO_COMMUNICATION, 0], np.uint32)
    return Batch(SPARSE, times, times + 7, (floats, texts("A", "Bé")), quality, index)


def batch_record(seq: int, batch: Batch) -> uplink_pb2.Record:
    times_ns = (int(batch.times_ns.min()), int(batch.times_ns.max()))
    payload = encode_batch([batch])
    return record(seq, uplink_pb2.BATCH, payload, samples=batch.samples, times_ns=times_ns)


def schema_record(seq: int, schema: Schema) -> uplink_pb2.Record:
    return record(seq, uplink_pb2.SCHEMA, encode_schema(schema))


async def fill(server: FleetServer) -> None:
    """Send ten scans in two batches out of order, and six notifications."""
    async with Gateway(server.address, server.issue(GATEWAY), GATEWAY) as gateway:
        await gateway.send(
            schema_record(1, DENSE),
            batch_record(2, dense_batch(4, 6)),
            schema_record(3, SPARSE),
            batch_record(4, sparse_batch()),
            batch_record(5, dense_batch(0, 4)),
        )
        await gateway.ack_up_to(5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetServer]:
    """One server for all questions, with what `fill` sent."""
    with FleetServer(tmp_path_factory.mktemp("query")) as running:
        asyncio.run(fill(running))
        yield running


def ask(server: FleetServer, tag: str, *arguments: str) -> list[dict[str, Any]]:
    answer = server.read_json("query", "--gateway", GATEWAY, "--tag", tag, *arguments)
    values: list[dict[str, Any]] = answer["values"]
    return values


def test_scaled_values_with_their_times_and_qualities(server: FleetServer) -> None:
    values = ask(server, "press/pressure")
    assert [v["time_ns"] for v in values] == [START_NS + n * SECOND_NS for n in range(10)]
    assert {v["received_ns"] - v["time_ns"] for v in values} == {1_000_000}
    wanted = [n * 10 * 0.1 - 5.0 if n != 2 else None for n in range(10)]
    assert [v["value"] for v in values] == wanted
    assert [v["quality"] for v in values[1:5]] == [
        *("Good", "BadNoCommunication", "UncertainLastUsableValue", "Good")
    ]
    assert values[2]["status"] == 0x8031_0000


@pytest.mark.parametrize(
    ("tag", "values"),
    [
        ("running", [True, False, True]),
        ("count", [(1 << 64) - 1, (1 << 64) - 2, (1 << 64) - 3]),
        ("product", ["Träger 0", "Träger 1", "Träger 2"]),
        ("level", [0.0, 1 / 3, 2 / 3]),
    ],
)
def test_every_type_comes_back_as_it_is(server: FleetServer, tag: str, values: list[Any]) -> None:
    assert [v["value"] for v in ask(server, f"press/{tag}")[:3]] == values


@pytest.mark.parametrize(
    ("tag", "values"),
    [
        ("temperature", [(0, 20.5), (3, 21.5)]),
        ("recipe", [(1, "A"), (5, "Bé")]),
        ("setpoint", [(2, 181.0), (4, None)]),
    ],
)
def test_sparse_values(server: FleetServer, tag: str, values: list[tuple[int, Any]]) -> None:
    got = ask(server, f"oven/{tag}")
    assert [((v["time_ns"] - START_NS) // SECOND_NS, v["value"]) for v in got] == values


def test_the_newest_come_within_the_limit_and_the_span(server: FleetServer) -> None:
    def seconds(*arguments: str) -> list[int]:
        values = ask(server, "press/level", *arguments)
        return [(v["time_ns"] - START_NS) // SECOND_NS for v in values]

    assert seconds("--limit", "3") == [7, 8, 9]
    assert seconds("--limit", "7") == [3, 4, 5, 6, 7, 8, 9]
    assert seconds("--from", "2025-10-09T08:53:23Z", "--to", "2025-10-09T10:53:25+02:00") == [
        3,
        4,
        5,
    ]
    assert seconds("--to", "2025-10-09T08:53:21", "--limit", "1") == [1]
    assert seconds("--from", "2026-01-01") == []


def test_people_get_a_table(server: FleetServer) -> None:
    done = server.command("query", "--gateway", GATEWAY, "--tag", "press/pressure", "--limit", "8")
    assert done.stdout.splitlines()[:3] == [
        "time                      value  unit  quality                   received",
        "2025-10-09T08:53:22.000Z      -  bar   BadNoCommunication        1 ms later",
        "2025-10-09T08:53:23.000Z   -2.0  bar   UncertainLastUsableValue  1 ms later",
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--gateway", "nobody", "--tag", "press/level"), "no gateway 'nobody'"),
        (("--gateway", GATEWAY, "--tag", "press/nothing"), "no tag 'press/nothing'"),
        (("--gateway", GATEWAY, "--tag", "level"), "write DEVICE/TAG"),
        (("--gateway", GATEWAY, "--tag", "press/level", "--from", "noon"), "'noon' is no time"),
        (("--gateway", GATEWAY), "--tag"),
        (("--gateway", GATEWAY, "--tag", "press/level", "--after", "1/1"), "--ordered goes by"),
        (
            ("--gateway", GATEWAY, "--tag", "press/level", "--ordered", "--after", "x"),
            "'x' is no position",
        ),
    ],
)
def test_what_cannot_be_asked_is_exit_2(
    server: FleetServer, arguments: tuple[str, ...], text: str
) -> None:
    done = server.command("query", *arguments)
    assert (done.returncode, text in done.stderr) == (2, True), done.stderr


async def test_a_tag_keeps_its_history_when_its_tag_list_changes(server: FleetServer) -> None:
    changed = Schema(
        "press", "fast", (*DENSE.tags[:4], Tag("level", "h:4", ValueType.FLOAT64, "cm"))
    )
    async with Gateway(server.address, server.issue("changed"), "changed") as gateway:
        await gateway.send(
            schema_record(1, DENSE),
            batch_record(2, dense_batch(0, 3)),
            schema_record(3, changed),
            batch_record(4, dense_batch(3, 3, changed)),
        )
        await gateway.ack_up_to(4)
    answer = server.read_json("query", "--gateway", "changed", "--tag", "press/level")
    assert [v["value"] for v in answer["values"]] == [n / 3 for n in range(6)]
    assert answer["unit"] == "cm"


async def test_a_batch_may_come_before_its_schema(server: FleetServer) -> None:
    async with Gateway(server.address, server.issue("late"), "late") as gateway:
        await gateway.send(batch_record(2, dense_batch(0, 3)), schema_record(1, DENSE))
        await gateway.ack_up_to(2)
    answer = server.read_json("query", "--gateway", "late", "--tag", "press/level")
    assert len(answer["values"]) == 3


async def test_ten_thousand_tags(server: FleetServer) -> None:
    tags = tuple(Tag(f"tag-{n:05}", f"holding:{n}", ValueType.UINT16) for n in range(10_000))
    schema = Schema("line", "all", tags)
    times = START_NS + np.arange(2) * SECOND_NS
    values = np.arange(20_000, dtype=np.uint16).reshape(2, 10_000)
    async with Gateway(server.address, server.issue("wide"), "wide") as gateway:
        await gateway.send(schema_record(1, schema))
        await gateway.send(batch_record(2, Batch(schema, times, times, (values,))))
        await gateway.ack_up_to(2)
    answer = server.read_json("query", "--gateway", "wide", "--tag", "line/tag-09999")
    assert [v["value"] for v in answer["values"]] == [9_999, 19_999]
    assert server.read_json("ledger", "--gateway", "wide")["lines"][0]["samples"] == 20_000


async def test_people_see_what_is_missing_between_values(server: FleetServer) -> None:
    lost = batch_pb2.Gap(
        cause=batch_pb2.RING_OVERFLOW,
        time_from_ns=START_NS + 2 * SECOND_NS,
        time_to_ns=START_NS + 5 * SECOND_NS,
        samples=40,
        source="press",
    )
    wrong = batch_pb2.Anchor(boot_id="b", wall_ns=START_NS, state=batch_pb2.UNSYNCED)
    right = batch_pb2.Anchor(
        boot_id="b", wall_ns=START_NS + 3600 * SECOND_NS, state=batch_pb2.SYNCED
    )
    async with Gateway(server.address, server.issue("lossy"), "lossy") as gateway:
        await gateway.send(
            schema_record(1, DENSE),
            batch_record(2, dense_batch(0, 2)),
            record(3, uplink_pb2.GAP, lost.SerializeToString()),
            record(4, uplink_pb2.ANCHOR, wrong.SerializeToString()),
            batch_record(5, dense_batch(6, 2)),
            record(6, uplink_pb2.ANCHOR, right.SerializeToString()),
            batch_record(8, dense_batch(9, 1)),
        )
        await gateway.ack_up_to(6)
    words = ("query", "--gateway", "lossy", "--tag", "press/pressure")
    shown = server.command(*words).stdout.splitlines()
    assert [line.split()[0] for line in shown[1:6]] == [
        *("2025-10-09T08:53:20.000Z", "2025-10-09T08:53:21.000Z", "2025-10-09T08:53:22.000Z"),
        *("2025-10-09T08:53:29.000Z", "2025-10-09T09:53:26.000Z*"),
    ]
    assert shown[3].endswith("-- RING_OVERFLOW for 3 s: 40 samples of press")
    assert "nothing had set the gateway's clock" in shown[-1]
    assert max(map(len, shown)) <= 80
    answer = server.read_json(*words)
    assert [loss["cause"] for loss in answer["missing"]] == ["RING_OVERFLOW"]
    assert [v["clock"] for v in answer["values"]] == ["", "", "", "mended", "mended"]
    page = server.read_json(*words, "--ordered", "--limit", "2")
    assert [v["seq"] for v in page["values"]] == [2, 2]
    assert (page["after"], page["watermark"]["seq"]) == ("0000000100000000/2", 6)
    page = server.read_json(*words, "--ordered", "--after", page["after"])
    assert [v["seq"] for v in page["values"]] == [5, 5]
    assert page["after"] == "0000000100000000/6"
    raw = server.read_json(*words, "--raw-times")
    assert raw["values"][-1]["time_ns"] == START_NS + 9 * SECOND_NS


def test_everything_sent_verifies(server: FleetServer) -> None:
    verified = server.read_json("ledger", "--verify")["verified"]
    assert verified["sound"]
    assert verified["duplicate_samples"] == 0
    assert verified["samples"] >= 56


async def test_verify_counts_samples_that_came_under_two_positions(tmp_path: Path) -> None:
    """The server cannot know them for what they are; `--verify` can."""
    with FleetServer(tmp_path) as server:
        async with Gateway(server.address, server.issue("g"), "g") as gateway:
            await gateway.send(
                schema_record(1, DENSE),
                batch_record(2, dense_batch(0, 4)),
                batch_record(3, dense_batch(3, 4)),
                schema_record(4, SPARSE),
                batch_record(5, sparse_batch()),
                batch_record(6, sparse_batch()),
            )
            await gateway.ack_up_to(6)
        done = server.command("ledger", "--verify", "--json")
        text = server.command("ledger", "--verify").stdout
    assert done.returncode == 1
    assert '"duplicate_samples": 11,' in done.stdout
    assert "FAULT    g press/fast: 5 samples stored twice" in text
    assert "FAULT    g oven/events: 6 samples stored twice" in text
    assert "NOT SOUND" in text


def test_gateway_and_server_know_the_same_names() -> None:
    assert FLEET_NAMES == AGENT_NAMES
    assert quality_name(0x80AB_0000) == "BadInvalidArgument"


@pytest.mark.parametrize("quality", [*Quality, 0x80AB_0000, 0x8031_0400, 0x9001_0000])
def test_gateway_and_server_name_qualities_alike(quality: int) -> None:
    assert query_module.quality_name(quality) == quality_name(quality)
