"""An edge node's session, message by message, read by the foreign codec `sparkplug-payload`."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from forebay._proto import sparkplug_pb2 as pb
from forebay.columnar import encode_gap
from forebay.errors import UplinkUnavailable
from forebay.model import Batch, Gap, GapCause, Quality, RecordKind, Schema, Tag, ValueType
from forebay.readings import flat, note, readings
from forebay.testing.clock import FakeClock
from forebay.testing.records import make_record
from forebay.uplinks.mqtt.config import MqttUplinkSettings
from forebay.uplinks.mqtt.form import Item
from forebay.uplinks.mqtt.sparkplug import REBIRTH, Node, SparkplugForm
from support.batches import SCHEMA, batch_record, dense, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from forebay.model import Record
    from forebay.uplinks.mqtt.form import Message

    Decode = Callable[[Iterable[Message]], list[dict[str, Any]]]

TESTBEDS = Path(__file__).resolve().parents[3] / "testbeds"
TYPES = {
    "running": "Boolean",
    "pressure": "Double",
    "motor/temp": "Float",
    "energy": "UInt64",
    "steps": "Int64",
    'batch "id"': "String",
    "level": "Double",
    "frame": "Bytes",
}


@pytest.fixture(scope="module")
def decode(node_binary: Path) -> Iterator[Decode]:
    """Decode payloads with code that nobody here wrote."""
    if not (TESTBEDS / "node_modules/sparkplug-payload/package.json").exists():
        rows = (TESTBEDS / "needs.tsv").read_text(encoding="utf-8").splitlines()
        pytest.skip(dict(row.split("\t") for row in rows)["sparkplug-payload"])
    with subprocess.Popen(
        [str(node_binary), "sparkplug_decode.js"],
        cwd=TESTBEDS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        into, out = process.stdin, process.stdout

        def decoded(messages: Iterable[Message]) -> list[dict[str, Any]]:
            found = []
            for message in messages:
                into.write(base64.b64encode(message.payload).decode() + "\n")
                into.flush()
                found.append(json.loads(out.readline()) | {"topic": message.topic})
            return found

        yield decoded
        into.close()


def make_form(node: Node | None = None, bd_seq: int = 7, **settings: Any) -> SparkplugForm:
    given = {"kind": "mqtt", "host": "localhost", "format": "sparkplug_b", **settings}
    most = given.get("max_payload", 1 << 20)
    found = MqttUplinkSettings.model_validate(given)
    return SparkplugForm("gw-1", found, most, node or Node(), bd_seq, FakeClock())


def item(record: Record, *, historical: bool = False) -> Item:
    found = readings(record, SCHEMA) if record.kind is RecordKind.BATCH else None
    return Item(record, found, note(record), historical)


def names(birth: dict[str, Any]) -> dict[str, str]:
    return {metric["alias"]: metric["name"] for metric in birth["metrics"]}


def test_a_session_is_born_lives_and_dies(decode: Decode) -> None:
    form = make_form()
    record = batch_record(1)
    sent = [*form.due(), *form.messages(item(record)), *form.messages(item(batch_record(2)))]
    birth, device, data, more = decode(sent)
    (death,) = decode([form.will])
    topics = [said["topic"] for said in (birth, device, data, more, death)]
    assert topics == [
        "spBv1.0/forebay/NBIRTH/gw-1",
        "spBv1.0/forebay/DBIRTH/gw-1/press",
        "spBv1.0/forebay/DDATA/gw-1/press",
        "spBv1.0/forebay/DDATA/gw-1/press",
        "spBv1.0/forebay/NDEATH/gw-1",
    ]
    assert [said["seq"] for said in (birth, device, data, more)] == ["0", "1", "2", "3"]
    assert "seq" not in death
    (tie,) = [m for m in birth["metrics"] if m["name"] == "bdSeq"]
    assert (tie["value"], tie["type"]) == ("7", "Int64")
    assert [(m["name"], m["value"]) for m in death["metrics"]] == [("bdSeq", "7")]
    assert {m["name"] for m in birth["metrics"]} == {"bdSeq", REBIRTH, "Forebay/Notice"}
    assert {m["name"]: m["type"] for m in device["metrics"]} == TYPES
    assert form.end() == [form.will]


def test_every_sample_arrives_as_it_was(decode: Decode) -> None:
    form, record = make_form(), batch_record(1, dense(40, 3))
    birth, *data = decode([*form.messages(item(record))])
    found = [metric for said in data for metric in said["metrics"]]
    of_alias = names(birth)
    expected = rows_of(record)
    assert len(found) == len(expected)
    for metric, (name, value, code, time_ns, _) in zip(found, expected, strict=True):
        assert of_alias[metric["alias"]] == name
        assert metric["type"] == TYPES[name]
        assert int(metric["timestamp"]) == time_ns // 1_000_000
        assert same(metric["value"], value), (name, metric, value)
        told = {key: p["value"] for key, p in metric.get("properties", {}).items()}
        if code == Quality.GOOD:
            assert told == {}
        else:
            assert told["StatusCode"] == str(code)
            assert told["Quality"] == (0 if code >= Quality.BAD else 500)
        assert not metric.get("isHistorical")


def same(found: Any, value: Any) -> bool:
    """Whether a value of the codec is one of ours: 64 bits come as text, float32 as a double."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return found is value or found == value
    if isinstance(value, int):
        # The codec leaves an Int64 unsigned where its copy of `long` is another than protobufjs's.
        return (int(found) - value) % (1 << 64) == 0
    return bool(found == value or np.float32(found) == np.float32(value))


@pytest.mark.parametrize(
    "kind", [t for t in ValueType if t not in (ValueType.STRING, ValueType.BYTES)]
)
def test_the_ends_of_every_type_arrive(decode: Decode, kind: ValueType) -> None:
    schema = Schema("d", "g", (Tag("x", "1", kind),))
    if kind is ValueType.BOOL:
        values = np.array([[False], [True]])
    elif kind in (ValueType.FLOAT32, ValueType.FLOAT64):
        ends = np.finfo(kind.dtype)
        values = np.array([[ends.min], [ends.max], [ends.tiny]], kind.dtype)
    else:
        span = np.iinfo(kind.dtype)
        values = np.array([[span.min], [span.max], [0]], kind.dtype)
    times = np.arange(len(values), dtype=np.int64)
    record = make_record(1)
    form = make_form()
    found = Item(record, flat(Batch(schema, times, times, (values,))), None, historical=False)
    _, data = decode(form.messages(found))
    for metric, value in zip(data["metrics"], values[:, 0].tolist(), strict=True):
        assert same(metric["value"], value), metric


def test_the_backlog_is_historical_and_no_last_value(decode: Decode) -> None:
    form = make_form()
    form.due()
    live, old = batch_record(2, dense(1, 2, bad=False)), batch_record(1, dense(1, 1, bad=False))
    decode(form.messages(item(live)))
    (data,) = decode(form.messages(item(old, historical=True)))
    assert data["metrics"]
    assert all(metric["isHistorical"] for metric in data["metrics"])
    form.hear(form.topics[0], rebirth())
    _, device = decode(form.due())
    values = {metric["name"]: metric["value"] for metric in device["metrics"]}
    assert values['batch "id"'] == rows_of(live)[5][1]


def rebirth() -> bytes:
    command = pb.SparkplugPayload(timestamp=1)
    command.metrics.add(name=REBIRTH, datatype=11, boolean_value=True)
    return command.SerializeToString()


def test_a_host_may_ask_for_rebirth(decode: Decode) -> None:
    form = make_form()
    sent = [*form.due(), *form.messages(item(batch_record(1)))]
    assert form.due() == []
    form.hear(form.topics[0], b"\xff no message")
    form.hear(form.topics[0], pb.SparkplugPayload(seq=3).SerializeToString())
    assert form.due() == []
    form.hear(form.topics[0], rebirth())
    birth, device = decode(form.due())
    assert (birth["seq"], device["seq"]) == ("0", "1")
    assert [m["value"] for m in birth["metrics"] if m["name"] == "bdSeq"] == ["7"]
    before = decode(sent[1:2])[0]
    assert names(device) == names(before), "aliases stay"
    (data,) = decode(form.messages(item(batch_record(2))))
    assert data["seq"] == "2"


def test_the_next_session_begins_with_all_devices() -> None:
    node = Node()
    first = make_form(node)
    list(first.messages(item(batch_record(1))))
    second = make_form(node, bd_seq=8)
    topics = [message.topic.split("/")[2] for message in second.due()]
    assert topics == ["NBIRTH", "DBIRTH"]


def test_seq_goes_round_at_256() -> None:
    form = make_form()
    sent = form.due()
    for n in range(300):
        sent += form.messages(item(batch_record(n + 1)))
    seqs = [pb.SparkplugPayload.FromString(message.payload).seq for message in sent]
    assert all(after == (before + 1) % 256 for before, after in pairwise(seqs))
    assert max(seqs) == 255


def test_new_tags_and_types_are_born_before_their_data(decode: Decode) -> None:
    form = make_form()

    def sent(*tags: Tag, group: str = "g") -> list[dict[str, Any]]:
        schema = Schema("d", group, tags)
        zero = [np.zeros((1, len(lane.columns)), lane.type.dtype) for lane in schema.lanes]
        times = np.zeros(1, np.int64)
        batch = Batch(schema, times, times, tuple(zero))
        found = Item(make_record(1), flat(batch), None, historical=False)
        return decode(form.messages(found))

    x, y = Tag("x", "1", ValueType.INT16), Tag("y", "2", ValueType.FLOAT32, "bar")
    assert len(sent(x)) == 2
    assert len(sent(x)) == 1
    birth, data = sent(y, group="other")
    assert set(names(birth).values()) == {"x", "y"}
    (unit,) = [m["properties"] for m in birth["metrics"] if m["name"] == "y"]
    assert unit["engUnit"] == {"type": "String", "value": "bar"}
    assert {m["alias"] for m in data["metrics"]} <= names(birth).keys()
    birth, data = sent(replace(x, type=ValueType.INT32))
    assert [m["type"] for m in birth["metrics"] if m["name"] == "x"] == ["Int32"]
    assert len(set(names(birth))) == 2


def test_a_large_record_is_cut_and_a_gap_is_a_notice(decode: Decode) -> None:
    form = make_form(max_payload=4096)
    record = batch_record(1, dense(500, 1))
    _, *cut = list(form.messages(item(record)))
    assert len(cut) > 10
    assert max(len(message.payload) for message in cut) < 4096 + 16
    assert sum(len(said["metrics"]) for said in decode(cut)) == record.samples
    gap = Gap(GapCause.CORRUPT, 5_000_000, 9_000_000, None, "press", 3, 4, 5)
    (said,) = decode(form.messages(item(make_record(2, encode_gap(gap), kind=RecordKind.GAP))))
    assert said["topic"] == "spBv1.0/forebay/NDATA/gw-1"
    (metric,) = said["metrics"]
    assert metric["name"] == "Forebay/Notice"
    told = json.loads(metric["value"])
    assert (told["kind"], told["cause"], told["seq"]) == ("gap", "CORRUPT", 2)


def test_a_primary_host_is_waited_for() -> None:
    form = make_form(primary_host="scada-1")

    def waits() -> bool:
        return form.waits

    assert waits()
    assert form.topics[1] == "spBv1.0/STATE/scada-1"

    def state(*, online: bool, at_ms: int) -> None:
        said = json.dumps({"online": online, "timestamp": at_ms})
        form.hear(form.topics[1], said.encode())

    form.hear(form.topics[1], b"OFFLINE")
    state(online=False, at_ms=10)
    assert waits()
    state(online=True, at_ms=20)
    assert not waits()
    state(online=False, at_ms=15)  # the will of an earlier session, late
    with pytest.raises(UplinkUnavailable, match="scada-1"):
        state(online=False, at_ms=30)
