"""Readings as Sparkplug B: births, data by alias, deaths, and rebirth when a host asks.

Owns the session state of an edge node as the Eclipse Sparkplug Specification 3.0.0 has it (5.4 to
5.7, chapter 6). Must not know the connection.

It departs from the specification in one thing, on purpose: births and data go at QoS 1 and not 0
(6.4.15 to 6.4.21), because a PUBACK is the only receipt that MQTT has, and all at one QoS so that
brokers keep their order.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from forebay._proto import sparkplug_pb2 as pb
from forebay.errors import UplinkUnavailable
from forebay.readings import json_text
from forebay.uplinks.mqtt import metrics
from forebay.uplinks.mqtt.form import Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forebay.clock import Clock
    from forebay.model import Schema
    from forebay.uplinks.mqtt.config import MqttUplinkSettings
    from forebay.uplinks.mqtt.form import Item
    from forebay.uplinks.mqtt.metrics import Metric, Sample

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
NOTICE = "Forebay/Notice"
_BD_SEQ = "bdSeq"
_SAMPLES_AT_ONCE = 1000
_NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Node:
    """What an edge node knows from one session to the next: its devices, and its aliases."""

    devices: dict[str, dict[str, Metric]] = field(default_factory=dict)
    next_alias: int = 1

    def learn(self, schema: Schema) -> bool:
        """Take in the metrics of a schema; give whether its device must be born again."""
        known = self.devices.get(schema.source)
        changed = known is None
        known = self.devices.setdefault(schema.source, {})
        for tag in schema.tags:
            datatype = metrics.datatype(tag)
            metric = known.get(tag.name)
            if metric is None or metric.datatype != datatype or metric.unit != tag.unit:
                known[tag.name] = metrics.Metric(tag.name, self.next_alias, datatype, tag.unit)
                self.next_alias += 1
                changed = True
        return changed


class SparkplugForm:
    """Implements `form.Form`: one edge node's session."""

    def __init__(
        self,
        gateway: str,
        settings: MqttUplinkSettings,
        max_payload: int,
        node: Node,
        bd_seq: int,
        clock: Clock,
    ) -> None:
        """Begin a session. `bd_seq` (0-255) ties its birth to its death."""
        self._node, self._clock, self._max_payload = node, clock, max_payload
        self._bd_seq = bd_seq
        group, name = settings.group_id, settings.node_id or gateway
        self._topic = f"{NAMESPACE}/{group}/{{}}/{name}"
        self._host = settings.primary_host
        self._state_topic = f"{NAMESPACE}/STATE/{self._host}"
        self._online_at_ms = -1
        self._seq = 0
        self._unborn = True
        self.waits = self._host is not None
        self.topics = (self._topic.format("NCMD"), *([self._state_topic] if self._host else []))

    @property
    def will(self) -> Message:
        """See `Form.will`: an NDEATH (6.4.25), which has the bdSeq and no seq."""
        payload = pb.SparkplugPayload(timestamp=self._now_ms())
        payload.metrics.add(
            name=_BD_SEQ, timestamp=payload.timestamp, datatype=metrics.INT64,
            long_value=self._bd_seq,
        )  # fmt: skip
        return Message(self._topic.format("NDEATH"), payload.SerializeToString())

    def hear(self, topic: str, payload: bytes) -> None:
        """See `Form.hear`: an NCMD that asks for rebirth, or the primary host's STATE (6.4.26)."""
        if topic == self._state_topic:
            self._hear_state(payload)
            return
        try:
            command = pb.SparkplugPayload.FromString(payload)
        except DecodeError:
            return
        if any(m.name == REBIRTH and m.boolean_value for m in command.metrics):
            self._unborn = True

    def due(self) -> list[Message]:
        """See `Form.due`: NBIRTH and the DBIRTH of every device known, if they are asked for."""
        if not self._unborn:
            return []
        self._unborn, self._seq = False, 0
        return [self._node_birth(), *map(self._device_birth, self._node.devices)]

    def messages(self, item: Item) -> Iterator[Message]:
        """See `Form.messages`: DDATA, before it a DBIRTH if the device has grown."""
        if item.found is not None:
            schema = item.found.schema
            if self._node.learn(schema):
                yield self._device_birth(schema.source)
            known = self._node.devices[schema.source]
            of_column = [known[tag.name] for tag in schema.tags]
            taken = metrics.samples(item.found)
            topic = f"{self._topic.format('DDATA')}/{schema.source}"
            for first in range(0, len(taken), _SAMPLES_AT_ONCE):
                some = taken[first : first + _SAMPLES_AT_ONCE]
                for payload in self._data(some, of_column, historical=item.historical):
                    payload.seq = self._next_seq()
                    yield Message(topic, payload.SerializeToString())
        if item.note is not None:
            stream, epoch, seq = item.record.position
            said = {**item.note, "stream": stream.value, "epoch": f"{epoch:016x}", "seq": seq}
            payload = pb.SparkplugPayload(timestamp=self._now_ms(), seq=self._next_seq())
            payload.metrics.add(
                name=NOTICE, timestamp=item.record.time_min_ns // _NS_PER_MS,
                datatype=metrics.STRING, is_historical=item.historical,
                string_value=json_text(said),
            )  # fmt: skip
            yield Message(self._topic.format("NDATA"), payload.SerializeToString())

    def end(self) -> list[Message]:
        """See `Form.end` (5.5)."""
        return [self.will]

    def _data(
        self, taken: Sequence[Sample], of_column: Sequence[Metric], *, historical: bool
    ) -> Iterator[pb.SparkplugPayload]:
        """Give samples in as many payloads as their size needs."""
        payload = pb.SparkplugPayload(timestamp=self._now_ms())
        metrics.put(payload, taken, of_column, historical=historical)
        if payload.ByteSize() <= self._max_payload or len(taken) < 2:
            yield payload
            return
        middle = len(taken) // 2
        yield from self._data(taken[:middle], of_column, historical=historical)
        yield from self._data(taken[middle:], of_column, historical=historical)

    def _node_birth(self) -> Message:
        """Give an NBIRTH (6.4.15): seq 0, and the metrics of the node itself."""
        now_ms = self._now_ms()
        payload = pb.SparkplugPayload(timestamp=now_ms, seq=self._next_seq())
        add = payload.metrics.add
        add(name=_BD_SEQ, timestamp=now_ms, datatype=metrics.INT64, long_value=self._bd_seq)
        add(name=REBIRTH, timestamp=now_ms, datatype=metrics.BOOLEAN, boolean_value=False)
        add(name=NOTICE, timestamp=now_ms, datatype=metrics.STRING, is_null=True)
        return Message(self._topic.format("NBIRTH"), payload.SerializeToString())

    def _device_birth(self, device: str) -> Message:
        """Give a DBIRTH (6.4.19): every metric by name, alias and type, with its last value."""
        now_ms = self._now_ms()
        payload = pb.SparkplugPayload(timestamp=now_ms, seq=self._next_seq())
        for metric in self._node.devices[device].values():
            metrics.bear(payload, metric, now_ms)
        return Message(f"{self._topic.format('DBIRTH')}/{device}", payload.SerializeToString())

    def _hear_state(self, payload: bytes) -> None:
        try:
            said = json.loads(payload)
            online, at_ms = bool(said["online"]), int(said["timestamp"])
        except (ValueError, KeyError, TypeError):
            return
        if at_ms < self._online_at_ms:
            return  # a will that was late: an older session of the host
        self._online_at_ms = at_ms
        if online:
            self.waits = False
        elif not self.waits:
            raise UplinkUnavailable(
                f"the primary host {self._host!r} went offline",
                hint="nothing is lost; it goes on when the host is back",
            )

    def _next_seq(self) -> int:
        seq, self._seq = self._seq, (self._seq + 1) % 256
        return seq

    def _now_ms(self) -> int:
        return self._clock.now_ns() // _NS_PER_MS
