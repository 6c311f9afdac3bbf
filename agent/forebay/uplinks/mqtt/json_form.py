"""Readings as JSON, by topics that a person chose: a message a sample, or a message a record.

Owns the shape of those messages. Pure. Must not know the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.model import quality_name
from forebay.readings import instants, json_text, json_values
from forebay.uplinks.mqtt.form import Message
from forebay.uplinks.mqtt.topics import fill, parse_template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay.model import Record, Schema
    from forebay.readings import Readings
    from forebay.uplinks.mqtt.config import MqttUplinkSettings
    from forebay.uplinks.mqtt.form import Item

_PLACES = frozenset({"gateway", "device", "group", "stream", "tag"})
_MAX_HEADS = 256
_BOOLS = ("false", "true")


class JsonForm:
    """Implements `form.Form`; needs nothing said before, and hears nothing."""

    will = None
    topics: tuple[str, ...] = ()
    waits = False

    def __init__(self, gateway: str, settings: MqttUplinkSettings, max_payload: int) -> None:
        """Write for `gateway`; a message a record is cut at about `max_payload` bytes."""
        self._gateway, self._settings, self._max_payload = gateway, settings, max_payload
        self._each = "tag" in parse_template(settings.topic, _PLACES)
        self._heads: dict[tuple[int, str], list[tuple[str, str]]] = {}

    def hear(self, topic: str, payload: bytes) -> None:
        """See `Form.hear`."""

    def due(self) -> list[Message]:
        """See `Form.due`."""
        return []

    def end(self) -> list[Message]:
        """See `Form.end`."""
        return []

    def messages(self, item: Item) -> Iterator[Message]:
        """See `Form.messages`."""
        if item.found is not None:
            samples = self._samples(item.record, item.found, historical=item.historical)
            yield from samples if self._each else self._joined(item, item.found, samples)
        if item.note is not None:
            stream = item.record.position.stream.value
            topic = fill(self._settings.notices, {"gateway": self._gateway, "stream": stream})
            said = json_text(item.note).removesuffix("}")
            yield Message(topic, f"{said},{_about(item.record, item.historical)}}}".encode())

    def _samples(self, record: Record, found: Readings, *, historical: bool) -> Iterator[Message]:
        """Give each sample as a message of its own."""
        heads = self._head(found.schema, record.position.stream.value)
        times, received = instants(found.times_ns), instants(found.received_ns)
        about = _about(record, historical)
        names = {code: quality_name(code) for code in set(found.quality.tolist())}
        samples = zip(
            found.columns.tolist(),
            found.scans.tolist(),
            json_values(found),
            found.quality.tolist(),
            strict=True,
        )
        for row, (column, scan, value, code) in enumerate(samples):
            topic, head = heads[column]
            text = (
                f'{{"time":"{times[scan]}","value":{value},"quality":"{names[code]}","code":{code},'
                f'{head}"received":"{received[scan]}",{about},"row":{row}}}'
            )
            yield Message(topic, text.encode())

    def _joined(self, item: Item, found: Readings, samples: Iterator[Message]) -> Iterator[Message]:
        """Give the samples of a record in as few messages as they fit."""
        topic = fill(self._settings.topic, self._names(found.schema, item.record, ""))
        begin = f'{{"gateway":{json_text(self._gateway)},"samples":['.encode()
        end = f"],{_about(item.record, item.historical)}}}".encode()
        parts: list[bytes] = []
        size = len(begin) + len(end)
        for _, text in samples:
            if parts and size + len(text) + 1 > self._max_payload:
                yield Message(topic, begin + b",".join(parts) + end)
                parts, size = [], len(begin) + len(end)
            parts.append(text)
            size += len(text) + 1
        if parts:
            yield Message(topic, begin + b",".join(parts) + end)

    def _head(self, schema: Schema, stream: str) -> list[tuple[str, str]]:
        """Give each column's topic, and what its messages say of it."""
        known = self._heads.get((schema.id, stream))
        if known is not None:
            return known
        where = f'"device":{json_text(schema.source)},"group":{json_text(schema.group)}'
        names = {
            "gateway": self._gateway,
            "device": schema.source,
            "group": schema.group,
            "stream": stream,
        }
        heads = [
            (
                fill(self._settings.topic, {**names, "tag": tag.name}),
                f'{where},"tag":{json_text(tag.name)},"unit":{json_text(tag.unit)},',
            )
            for tag in schema.tags
        ]
        while len(self._heads) >= _MAX_HEADS:
            del self._heads[next(iter(self._heads))]
        self._heads[schema.id, stream] = heads
        return heads

    def _names(self, schema: Schema, record: Record, tag: str) -> dict[str, str]:
        return {
            "gateway": self._gateway,
            "device": schema.source,
            "group": schema.group,
            "stream": record.position.stream.value,
            "tag": tag,
        }


def _about(record: Record, historical: bool) -> str:  # noqa: FBT001 - private, and named at each call
    """Give the fields by which a receiver tells what it has already."""
    stream, epoch, seq = record.position
    return (
        f'"historical":{_BOOLS[historical]},"stream":"{stream}","epoch":"{epoch:016x}","seq":{seq}'
    )
