"""The shadow holds the newest sample of each tag, whatever form it came in."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from forebay.model import Batch, Quality, Schema, Tag, ValueType
from forebay.pipeline.shadow import Shadow

SCHEMA = Schema(
    "press",
    "fast",
    (
        Tag("temp", "holding:0", ValueType.INT16, "degC", 0.1, -10.0),
        Tag("name", "holding:1", ValueType.STRING),
        Tag("count", "holding:9", ValueType.INT16),
    ),
)


def dense(time_ns: int, numbers: list[int], text: str, quality: list[int] | None = None) -> Batch:
    return Batch(
        SCHEMA,
        np.array([time_ns], np.int64),
        np.array([time_ns + 5], np.int64),
        (np.array([numbers], np.int16), np.array([[text]], object)),
        None if quality is None else np.array([quality], np.uint32),
    )


def sparse(time_ns: int, column: int, value: int) -> Batch:
    times = np.array([time_ns], np.int64)
    values = (np.array([value], np.int16), np.array([], object))
    return Batch(SCHEMA, times, times, values, None, np.array([column], np.uint32))


def test_before_the_first_reading_every_tag_waits_for_data() -> None:
    shadow = Shadow([SCHEMA])
    found = shadow.get("press", "temp")
    assert found is not None
    assert (found[1].value, found[1].quality) == (None, Quality.BAD_WAITING_FOR_INITIAL_DATA)
    assert shadow.bad_counts() == {"press": 3}
    assert shadow.get("press", "nothing") is None


def test_a_poll_is_seen_scaled_with_both_times() -> None:
    shadow = Shadow([SCHEMA])
    shadow.update(dense(100, [250, 7], "A"))
    samples = {s.tag.name: s for s in (shadow.sample(SCHEMA, c) for _, c in shadow.walk("press"))}
    assert samples["temp"].value == 15.0
    assert samples["name"].value == "A"
    assert samples["count"].value == 7
    assert (samples["temp"].time_ns, samples["temp"].received_ns) == (100, 105)


def test_one_change_leaves_its_neighbours_alone() -> None:
    shadow = Shadow([SCHEMA])
    shadow.update(dense(100, [250, 7], "A"))
    shadow.update(sparse(200, 2, 8))
    values = [shadow.sample(SCHEMA, c) for c in range(3)]
    assert [(v.value, v.time_ns) for v in values] == [(15.0, 100), ("A", 100), (8, 200)]
    shadow.update(dense(300, [0, 9], "B"))
    assert [shadow.sample(SCHEMA, c).time_ns for c in range(3)] == [300, 300, 300]


def test_of_two_changes_in_one_batch_the_later_stays() -> None:
    shadow = Shadow([SCHEMA])
    times = np.array([1, 2], np.int64)
    index = np.array([0, 0], np.uint32)
    values = (np.array([10, 20], np.int16), np.array([], object))
    shadow.update(Batch(SCHEMA, times, times, values, None, index))
    assert shadow.sample(SCHEMA, 0).time_ns == 2
    assert shadow.sample(SCHEMA, 0).value == 20 * 0.1 - 10


def test_a_bad_sample_has_no_value_and_is_counted() -> None:
    shadow = Shadow([SCHEMA])
    shadow.update(dense(100, [0, 7], "A", [Quality.BAD_TIMEOUT, 0, 0]))
    assert shadow.sample(SCHEMA, 0).value is None
    assert shadow.bad_counts() == {"press": 1}


def test_an_empty_batch_changes_nothing() -> None:
    shadow = Shadow([SCHEMA])
    shadow.update(dense(100, [250, 7], "A"))
    none = np.array([], np.int64)
    empty = (np.array([], np.int16), np.array([], object))
    shadow.update(Batch(SCHEMA, none, none, empty, None, np.array([], np.uint32)))
    assert shadow.sample(SCHEMA, 2).value == 7


@pytest.mark.parametrize("sparse", [False, True])
def test_of_bytes_only_their_length_and_digest_are_kept(*, sparse: bool) -> None:
    schema = Schema("camera", "frames", (Tag("frame", "", ValueType.BYTES),))
    shadow = Shadow([schema])
    times, blobs = np.array([1, 2], np.int64), [b"old", bytes(12_345)]
    values = np.array(blobs if sparse else [[b] for b in blobs], object)
    index = np.zeros(2, np.uint32) if sparse else None
    shadow.update(Batch(schema, times, times, (values,), None, index))
    sample = shadow.sample(schema, 0)
    digest = hashlib.sha256(blobs[1]).hexdigest()[:12]
    assert (sample.value, sample.time_ns) == (f"12,345 bytes, SHA-256 {digest}", 2)
    assert values.ravel()[-1] == blobs[1], "the batch itself is as it was"


def test_another_tag_list_keeps_the_samples_of_the_tags_that_stay() -> None:
    shadow = Shadow([SCHEMA])
    shadow.update(dense(100, [250, 7], "A", [0, 0, Quality.UNCERTAIN]))
    temp, name, _ = SCHEMA.tags
    other = Tag("count", "holding:11", ValueType.INT16)  # the same name, another register
    moved = Schema("press", "slow", (name,))
    shadow.follow({"press": [Schema("press", "fast", (other, temp)), moved]})
    kept = {s.tag.name: s for s in (shadow.sample(*one) for one in shadow.walk("press"))}
    assert (kept["temp"].value, kept["temp"].time_ns, kept["temp"].received_ns) == (15.0, 100, 105)
    assert kept["name"].value == "A"
    assert kept["count"].quality == Quality.BAD_WAITING_FOR_INITIAL_DATA
    assert shadow.bad_counts() == {"press": 1}


def test_a_device_that_stays_as_it_is_keeps_everything_and_one_that_goes_leaves_nothing() -> None:
    oven = Schema("oven", "fast", (Tag("heat", "holding:1", ValueType.INT16),))
    shadow = Shadow([SCHEMA, oven])
    shadow.update(dense(100, [250, 7], "A"))
    shadow.follow({"press": [SCHEMA], "oven": []})
    found = shadow.get("press", "count")
    assert found is not None
    assert found[1].value == 7
    assert shadow.get("oven", "heat") is None
    assert shadow.bad_counts() == {"press": 0}
    assert {schema.source for schema, _ in shadow.walk()} == {"press"}
