"""The MQTT uplink against a real mosquitto: the contract, kill -9, refusals, bounds."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay._proto import sparkplug_pb2 as pb
from forebay.errors import UplinkError, UplinkUnavailable
from forebay.events import UPLINK_UNHEARD
from forebay.interfaces import Resume, no_schema
from forebay.model import Stream
from forebay.testing.uplink_contract import PATIENCE_S, UplinkContract
from forebay.uplinks.mqtt import SPEC
from forebay.uplinks.mqtt.config import MqttUplinkSettings
from support.batches import (
    EPOCH,
    batch_record,
    damaged,
    dense,
    offer,
    position,
    rows_of,
    schema_record,
    shown,
)
from support.certificates import Authority
from support.mosquitto import Mosquitto
from support.mqtt_sink import Gate, Sink, samples, stored
from support.processes import until
from support.seams import system_seams
from support.uplinks import connect_error, failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from forebay.interfaces import Offer, Receipt, Seams, Uplink
    from forebay.model import Position, Record

T = Stream.TELEMETRY
SAMPLES = 24  # of a record by `batch_record`
A_RECORD = "plant/{gateway}/{device}/{group}"


def make_uplink(port: int, seams: Seams | None = None, /, **settings: Any) -> Uplink:
    given = {"kind": "mqtt", "host": "127.0.0.1", "port": port, "tls": False, "timeout": 5.0,
             "keepalive": 2, **settings}  # fmt: skip
    return SPEC.build("broker", MqttUplinkSettings.model_validate(given), seams or system_seams())


@pytest.fixture
async def broker(mosquitto_binary: Path, tmp_path: Path) -> AsyncIterator[Mosquitto]:
    extra = ["allow_anonymous true", "max_inflight_messages 500"]
    async with Mosquitto(mosquitto_binary, tmp_path, extra) as running:
        yield running


@pytest.fixture
async def sink(broker: Mosquitto) -> AsyncIterator[Sink]:
    sink = Sink(broker.port)
    await asyncio.to_thread(sink.__enter__)
    yield sink
    await asyncio.to_thread(sink.__exit__)


class Brokered:
    """A broker with one consumer, which tells duplicates by epoch, seq and row as it is told to."""

    def __init__(self, broker: Mosquitto, sink: Sink, gate: Gate, each: int, **more: Any) -> None:
        self._broker, self._sink, self._gate = broker, sink, gate
        self._each, self._more, self._limited = each, more, False

    def uplink(self) -> Uplink:
        return make_uplink(self._gate.port if self._limited else self._broker.port, **self._more)

    async def start(self) -> None:
        before = self._sink.connections
        await self._broker.start()
        await asyncio.to_thread(self._sink.reconnected, before)

    async def stop(self) -> None:
        await self._broker.kill()

    def accept(self, records: int | None) -> None:
        self._limited = records is not None
        self._gate.publishes = None if records is None else records * self._each

    def stored(self) -> dict[Position, bytes]:
        self._sink.catch_up()
        return stored(self._sink.messages)

    def stored_twice(self) -> int:
        return 0  # `stored` fails if one position and row comes with two contents


@pytest.mark.parametrize("version", ["5", "3.1.1"])
class TestContract(UplinkContract):
    @pytest.fixture(params=["a message a sample", "a message a record"])
    async def destination(
        self, broker: Mosquitto, sink: Sink, version: str, request: pytest.FixtureRequest
    ) -> AsyncIterator[Brokered]:
        each = request.param == "a message a sample"
        more = {} if each else {"topic": A_RECORD}
        async with Gate(broker.port) as gate:
            yield Brokered(broker, sink, gate, SAMPLES if each else 1, version=version, **more)

    def record(
        self, seq: int, payload: bytes | None = None, *, stream: Stream = T, epoch: int = EPOCH
    ) -> Record:
        scans = 3 if payload is None else len(payload) % 7 + 1
        return batch_record(seq, dense(scans, seq), stream=stream, epoch=epoch)

    def shown(self, record: Record) -> bytes:
        return shown(rows_of(record))

    def offer(self, records: Sequence[Record]) -> Offer:
        return offer(records)


async def covered(uplink: Uplink, last: int) -> list[Receipt]:
    receipts: list[Receipt] = []
    async with asyncio.timeout(PATIENCE_S):
        async for receipt in uplink.receipts():
            receipts.append(receipt)
            if receipt.resume.committed_seq >= last:
                return receipts
    raise AssertionError("receipts ended")


async def broken(uplink: Uplink, records: Sequence[Record]) -> UplinkError:
    """Send what breaks the session; give the error, whoever learns of it first."""
    with suppress(UplinkError):
        await uplink.send(records, historical=False)
    error = await failure(uplink)
    await uplink.close()
    return error


async def test_topics_and_messages_are_as_promised(broker: Mosquitto, sink: Sink) -> None:
    record = batch_record(2, dense(1, 2, bad=False))
    uplink = make_uplink(broker.port)
    await uplink.connect(offer([record]))
    await uplink.send([schema_record(1), record], historical=True)
    await covered(uplink, 2)
    await uplink.close()
    await asyncio.to_thread(sink.catch_up)
    topics = [topic for topic, _ in sink.messages]
    begin = "forebay/gateway-1/press/fast/"
    assert topics == [
        begin + name
        for name in (
            *("running", "pressure", "motor/temp", "energy", "steps", 'batch "id"', "level"),
            "frame",
        )
    ]
    said = json.loads(sink.messages[1][1])
    assert said | {"time": "", "received": "", "value": 0} == {
        "time": "", "value": 0, "quality": "Good", "code": 0, "device": "press", "group": "fast",
        "tag": "pressure", "unit": "bar", "received": "", "historical": True,
        "stream": "telemetry", "epoch": "0000000100000000", "seq": 2, "row": 1,
    }  # fmt: skip


async def test_it_goes_on_where_the_gateway_stands(broker: Mosquitto) -> None:
    delivered = (Resume(T, EPOCH, 7, islands=((12, 15),)),)
    uplink = make_uplink(broker.port)
    terms = await uplink.connect(offer([], delivered=delivered))
    assert terms.resume == delivered
    await uplink.send([batch_record(8)], historical=True)
    assert (await covered(uplink, 8))[-1].resume == Resume(T, EPOCH, 8, islands=((12, 15),))
    await uplink.send([batch_record(16)], historical=False, absent_from=[9])
    assert (await covered(uplink, 16))[-1].resume == Resume(T, EPOCH, 16)
    await uplink.close()


async def test_what_cannot_be_read_is_refused_for_good_and_passed(
    broker: Mosquitto, sink: Sink
) -> None:
    uplink = make_uplink(broker.port)
    await uplink.connect(offer([]))
    records = [batch_record(1), damaged(batch_record(2)), batch_record(3)]
    await uplink.send(records, historical=False)
    receipts = await covered(uplink, 3)
    await uplink.close()
    assert [r.rejected for r in receipts if r.rejected] == [((position(2), "Unreadable"),)]
    await asyncio.to_thread(sink.catch_up)
    assert {at.seq for at in stored(sink.messages)} == {1, 3}
    notices = [json.loads(said) for topic, said in sink.messages if topic.endswith("/notices")]
    assert [(n["kind"], n["code"], n["seq"]) for n in notices] == [("refused", "Unreadable", 2)]


async def test_a_host_is_told_of_what_cannot_be_read(broker: Mosquitto, sink: Sink) -> None:
    uplink = make_uplink(broker.port, format="sparkplug_b")
    await uplink.connect(offer([]))
    await uplink.send([damaged(batch_record(1))], historical=False)
    await covered(uplink, 1)
    await uplink.close()
    (notice,) = await heard(sink, "spBv1.0/forebay/NDATA/gateway-1")
    said = json.loads(notice.metrics[0].string_value)
    assert (said["kind"], said["code"], said["seq"]) == ("refused", "Unreadable", 1)


async def test_a_schema_that_is_gone_ends_the_session(broker: Mosquitto) -> None:
    uplink = make_uplink(broker.port)
    await uplink.connect(replace(offer([]), schema=no_schema))
    with pytest.raises(UplinkUnavailable, match="schema"):
        await uplink.send([batch_record(1)], historical=False)
    await uplink.close()


async def test_a_broker_killed_in_the_middle_gets_everything_again(
    broker: Mosquitto, sink: Sink
) -> None:
    records = [batch_record(seq, dense(40, seq)) for seq in range(1, 9)]
    uplink = make_uplink(broker.port, max_inflight=10)
    await uplink.connect(offer(records))
    sending = asyncio.create_task(uplink.send(records, historical=False), name="sending")
    await covered(uplink, 1)
    await broker.kill()
    error = await failure(uplink)
    assert isinstance(error, UplinkUnavailable)
    with pytest.raises(UplinkUnavailable):
        await sending
    await uplink.close()
    before = sink.connections
    await broker.start()
    await asyncio.to_thread(sink.reconnected, before)
    await uplink.connect(offer(records))
    await uplink.send(records, historical=False)
    await covered(uplink, 8)
    await uplink.close()
    await asyncio.to_thread(sink.catch_up)
    assert stored(sink.messages) == {r.position: shown(rows_of(r)) for r in records}
    assert len(sink.messages) > len(samples(sink.messages)), "some came twice, told apart"


async def test_a_frozen_broker_bounds_what_is_on_its_way(broker: Mosquitto) -> None:
    uplink = make_uplink(broker.port, max_inflight=5, keepalive=60)
    await uplink.connect(offer([]))
    broker.freeze()
    sending = asyncio.create_task(uplink.send([batch_record(1)], historical=False), name="sending")
    done, _ = await asyncio.wait({sending}, timeout=1.0)
    assert not done, "five of 24 messages may be on their way"
    broker.thaw()
    await sending
    await covered(uplink, 1)
    await uplink.close()


async def test_closing_before_a_frozen_broker_takes_a_moment(broker: Mosquitto) -> None:
    uplink = make_uplink(broker.port)
    await uplink.connect(offer([]))
    broker.freeze()
    async with asyncio.timeout(4):
        await uplink.close()
    broker.thaw()


async def test_what_nobody_hears_waits_if_it_should(broker: Mosquitto) -> None:
    record = batch_record(1)
    uplink = make_uplink(broker.port, needs_listener=True)
    await uplink.connect(offer([record]))
    error = await broken(uplink, [record])
    assert "nobody subscribes" in str(error)
    assert "consumer" in error.hint


async def test_what_nobody_hears_is_counted_and_told_once(broker: Mosquitto) -> None:
    seams = system_seams()
    uplink = make_uplink(broker.port, seams)
    await uplink.connect(offer([]))
    await uplink.send([batch_record(1), batch_record(2)], historical=False)
    receipts = await covered(uplink, 2)
    await uplink.close()
    assert sum(receipt.unheard_messages for receipt in receipts) == 2 * SAMPLES
    assert seams.events.count(UPLINK_UNHEARD, uplink="broker") == 1


async def test_what_somebody_hears_is_not_counted(broker: Mosquitto, sink: Sink) -> None:
    seams = system_seams()
    uplink = make_uplink(broker.port, seams)
    await uplink.connect(offer([]))
    await uplink.send([batch_record(1)], historical=False)
    receipts = await covered(uplink, 1)
    await uplink.close()
    await asyncio.to_thread(sink.catch_up)
    assert not any(receipt.unheard_messages for receipt in receipts)
    assert seams.events.count(UPLINK_UNHEARD, uplink="broker") == 0


async def test_a_topic_may_be_forbidden(mosquitto_binary: Path, tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic write allowed/#\n", encoding="utf-8")
    extra = ["allow_anonymous true", f"acl_file {tmp_path / 'acl'}"]
    async with Mosquitto(mosquitto_binary, tmp_path, extra) as broker:
        uplink = make_uplink(broker.port)
        await uplink.connect(offer([]))
        error = await broken(uplink, [batch_record(1)])
        assert "refused a message to forebay/gateway-1/press/fast" in str(error)
        assert "0x87" in str(error)
        assert "let the user" in error.hint
        allowed = make_uplink(broker.port, topic="allowed/{tag}")
        await allowed.connect(offer([]))
        await allowed.send([batch_record(1)], historical=False)
        await covered(allowed, 1)
        await allowed.close()


async def test_a_broker_that_wants_a_user_says_so(mosquitto_binary: Path, tmp_path: Path) -> None:
    async with Mosquitto(mosquitto_binary, tmp_path, ["allow_anonymous false"]) as broker:
        error = await connect_error(make_uplink(broker.port), offer([]))
    assert "password_file" in error.hint


async def test_tls_is_verified(mosquitto_binary: Path, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "a"), Authority(tmp_path / "b", "Another")
    pair, ours = authority.issue("broker"), authority.issue("gateway-1")
    extra = [f"cafile {authority.ca}", f"certfile {pair.cert}", f"keyfile {pair.key}",
             "require_certificate true", "allow_anonymous true"]  # fmt: skip
    async with Mosquitto(mosquitto_binary, tmp_path, extra) as broker:
        given = {"tls": True, "certificate": ours.cert, "key": ours.key}
        uplink = make_uplink(broker.port, ca=authority.ca, **given)
        await uplink.connect(offer([]))
        await uplink.send([batch_record(1)], historical=False)
        await covered(uplink, 1)
        await uplink.close()
        error = await connect_error(make_uplink(broker.port, ca=other.ca, **given), offer([]))
        assert "authority" in error.hint


async def test_two_gateways_of_one_name_are_told(broker: Mosquitto) -> None:
    first, second = make_uplink(broker.port), make_uplink(broker.port)
    await first.connect(offer([]))
    await second.connect(offer([]))
    error = await failure(first)
    await first.close()
    await second.close()
    assert "client_id" in error.hint


async def test_a_broker_of_small_packets_says_what_to_set(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    extra = ["allow_anonymous true", "max_packet_size 20000"]
    async with Mosquitto(mosquitto_binary, tmp_path, extra) as broker:
        error = await connect_error(make_uplink(broker.port), offer([]))
        assert "max_payload to 18976" in error.hint
        uplink = make_uplink(broker.port, max_payload=18_000, topic=A_RECORD)
        sink = Sink(broker.port)
        await asyncio.to_thread(sink.__enter__)
        record = batch_record(1, dense(60, 1))
        await uplink.connect(offer([record]))
        await uplink.send([record], historical=False)
        await covered(uplink, 1)
        await uplink.close()
        await asyncio.to_thread(sink.catch_up)
        await asyncio.to_thread(sink.__exit__)
    assert len(sink.messages) > 3
    assert stored(sink.messages) == {record.position: shown(rows_of(record))}


async def test_a_broker_that_sends_floods_is_left(broker: Mosquitto) -> None:
    uplink = make_uplink(broker.port, format="sparkplug_b", version="3.1.1")
    await uplink.connect(offer([]))
    await broker.publish("spBv1.0/forebay/NCMD/gateway-1", bytes(1 << 20))
    error = await failure(uplink)
    await uplink.close()
    assert "1048" in str(error)


async def test_nothing_is_left_behind(broker: Mosquitto) -> None:
    before = {task.get_name() for task in asyncio.all_tasks()}
    uplink = make_uplink(broker.port)
    for _ in range(3):
        await uplink.connect(offer([]))
        await uplink.close()
    await until(
        lambda: {task.get_name() for task in asyncio.all_tasks()} <= before, "its tasks end"
    )


async def heard(sink: Sink, begin: str, count: int = 1) -> list[pb.SparkplugPayload]:
    """Wait for messages of one kind; give them."""

    def found() -> list[bytes]:
        return [payload for topic, payload in sink.messages if topic.startswith(begin)]

    await asyncio.to_thread(sink.wait, lambda: len(found()) >= count, f"{count} of {begin}")
    return [pb.SparkplugPayload.FromString(payload) for payload in found()]


async def test_an_edge_node_is_born_again_when_asked_and_dies_in_order(
    broker: Mosquitto, sink: Sink
) -> None:
    uplink = make_uplink(broker.port, format="sparkplug_b")
    await uplink.connect(offer([]))
    await uplink.send([batch_record(1)], historical=False)
    await covered(uplink, 1)
    command = pb.SparkplugPayload()
    command.metrics.add(name="Node Control/Rebirth", datatype=11, boolean_value=True)
    await broker.publish("spBv1.0/forebay/NCMD/gateway-1", command.SerializeToString())
    births = await heard(sink, "spBv1.0/forebay/NBIRTH/gateway-1", 2)
    await heard(sink, "spBv1.0/forebay/DBIRTH/gateway-1/press", 2)
    await uplink.close()
    (death,) = await heard(sink, "spBv1.0/forebay/NDEATH/gateway-1")
    numbers = [said.metrics[0].long_value for said in (*births, death)]
    assert len(set(numbers)) == 1, "one bdSeq"
    await uplink.connect(offer([]))
    await uplink.close()
    births = await heard(sink, "spBv1.0/forebay/NBIRTH/gateway-1", 3)
    assert births[2].metrics[0].long_value == (numbers[0] + 1) % 256


async def test_a_death_is_told_by_the_broker(broker: Mosquitto, sink: Sink) -> None:
    async with Gate(broker.port) as gate:
        uplink = make_uplink(gate.port, format="sparkplug_b")
        await uplink.connect(offer([]))
    # The gate is gone, and with it the connection: the broker says the will.
    await heard(sink, "spBv1.0/forebay/NDEATH/gateway-1")
    await failure(uplink)
    await uplink.close()


async def test_nothing_is_sent_while_the_primary_host_is_away(
    broker: Mosquitto, sink: Sink
) -> None:
    def state(at_ms: int, *, online: bool) -> str:
        return json.dumps({"online": online, "timestamp": at_ms})

    topic = "spBv1.0/STATE/scada-1"
    await broker.publish(topic, state(1, online=False), retain=True)
    settings = {"format": "sparkplug_b", "primary_host": "scada-1"}
    error = await connect_error(make_uplink(broker.port, **settings, timeout=0.5), offer([]))
    assert "'scada-1' is not online" in str(error)
    assert not [topic for topic, _ in sink.messages if "BIRTH" in topic]
    await broker.publish(topic, state(2, online=True), retain=True)
    uplink = make_uplink(broker.port, **settings)
    await uplink.connect(offer([]))
    await heard(sink, "spBv1.0/forebay/NBIRTH/gateway-1")
    await broker.publish(topic, state(3, online=False), retain=True)
    assert "went offline" in str(await failure(uplink))
    await uplink.close()
    births = await heard(sink, "spBv1.0/forebay/NBIRTH/gateway-1")
    deaths = await heard(sink, "spBv1.0/forebay/NDEATH/gateway-1")
    assert [said.metrics[0].long_value for said in deaths] == [births[0].metrics[0].long_value]


async def test_who_cannot_say_goodbye_leaves_that_to_the_broker(
    broker: Mosquitto, sink: Sink
) -> None:
    uplink = make_uplink(broker.port, format="sparkplug_b")
    await uplink.connect(offer([]))
    await heard(sink, "spBv1.0/forebay/NBIRTH/gateway-1")
    broker.freeze()
    await uplink.close()
    broker.thaw()
    # What was not acknowledged came after all: a host hears it twice rather than never.
    await heard(sink, "spBv1.0/forebay/NDEATH/gateway-1", 2)
