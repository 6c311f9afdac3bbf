"""From messages to samples: one topic for many tags, times, marks, and what spoils what."""

from __future__ import annotations

from forebay.clock import Stamp
from forebay.drivers.mqtt import SPEC
from forebay.drivers.mqtt.config import MqttTag
from forebay.drivers.mqtt.routes import Message, Routes
from forebay.model import Batch, Quality, Schema

NOW_NS = 1_800_000_000_000_000_000
TS_NS = 1_700_000_000_123_000_000


def row(name: str, address: str, kind: str = "float64", **more: str) -> MqttTag:
    tag = SPEC.tag.model_validate({"name": name, "address": address, "type": kind, **more})
    assert isinstance(tag, MqttTag)
    return tag


ROWS = [
    row("speed", "line#/speed", time="/ts"),
    row("count", "line#/count", "int32"),
    row("name", "line#/name", "string"),
    row("jam", "line/jam", "bool"),
]
SECOND = [row("again", "line#/speed", "float32")]


def routes() -> Routes:
    first = Schema("line", "a", tuple(tag.to_tag() for tag in ROWS))
    second = Schema("line", "b", tuple(tag.to_tag() for tag in SECOND))
    return Routes((first, second), {tag.name: tag for tag in [*ROWS, *SECOND]})


def message(topic: str, payload: bytes | None, *, retained: bool = False) -> Message:
    return Message(topic, payload, retained, 1, Stamp(NOW_NS, 5))


def told(batches: list[Batch]) -> list[tuple[str, object, int, int]]:
    return [
        (sample.tag.name, sample.value, sample.quality, sample.time_ns)
        for batch in batches
        for sample in batch.iter_samples()
    ]


def test_one_message_feeds_all_its_tags_in_all_their_groups() -> None:
    payload = b'{"ts": 1700000000123, "speed": 1.5, "count": 3, "name": "x"}'
    batches, absent = routes().batches([message("line", payload)])
    assert not absent
    assert told(batches) == [
        ("speed", 1.5, 0, TS_NS),
        ("count", 3, 0, NOW_NS),
        ("name", "x", 0, NOW_NS),
        ("again", 1.5, 0, NOW_NS),
    ]


def test_messages_that_wait_become_one_batch_a_group_in_order() -> None:
    sent = [
        message("line/jam", b"true"),
        message("line", b'{"count": 1}'),
        message("line/jam", b"0"),
    ]
    batches, absent = routes().batches(sent)
    assert len(batches) == 1
    assert [entry[:2] for entry in told(batches)] == [("jam", True), ("count", 1), ("jam", False)]
    assert absent == {"speed", "name", "again"}


def test_a_broken_document_spoils_its_own_message_only() -> None:
    sent = [message("line", b"{broken"), message("line/jam", b"true"), message("line", None)]
    batches, _ = routes().batches(sent)
    qualities = {(name, quality) for name, _, quality, _ in told(batches)}
    bad = Quality.BAD_DECODING_ERROR
    assert qualities == {("speed", bad), ("count", bad), ("name", bad), ("again", bad), ("jam", 0)}


def test_a_value_without_the_time_it_should_have_is_uncertain() -> None:
    batches, _ = routes().batches([message("line", b'{"speed": 2, "ts": "soon"}')])
    assert told(batches)[0] == ("speed", 2.0, Quality.UNCERTAIN, NOW_NS)


def test_a_retained_value_is_uncertain_unless_it_says_its_time() -> None:
    payload = b'{"ts": 1700000000123, "speed": 1.5, "count": null}'
    batches, _ = routes().batches([message("line", payload, retained=True)])
    assert told(batches) == [
        ("speed", 1.5, 0, TS_NS),
        ("count", None, Quality.BAD, NOW_NS),
        ("again", 1.5, Quality.UNCERTAIN_LAST_USABLE_VALUE, NOW_NS),
    ]


def test_a_topic_that_nobody_asked_for_feeds_nothing() -> None:
    assert routes().batches([message("other", b"1")]) == ([], set())
    assert "other" not in routes()
    assert "line" in routes()


def test_a_refused_topic_marks_its_tags() -> None:
    found = told(routes().refused(["line/jam"], Quality.BAD_NOT_READABLE, Stamp(NOW_NS, 5)))
    assert found == [("jam", None, Quality.BAD_NOT_READABLE, NOW_NS)]
    assert routes().tags_of(["line/jam"]) == ["jam"]


def test_topics_are_asked_for_once() -> None:
    assert sorted(routes().topics) == ["line", "line/jam"]
    assert routes().widest == 4
