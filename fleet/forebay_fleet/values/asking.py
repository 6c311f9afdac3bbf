"""What is asked of values, and answered as JSON: newest, ordered, in steps.

Owns limits and the documents. Must not know HTTP. Everything here blocks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.errors import UsageError
from forebay_fleet.losses import losses
from forebay_fleet.query import TagHistory, ordered, query
from forebay_fleet.values.ranges import in_steps
from forebay_fleet.values.selecting import matches, select
from forebay_fleet.values.telling import document, of_losses, of_steps, told
from forebay_fleet.walking import GatewayHistory
from forebay_fleet.watermark import watermarks

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay_fleet.store.reader import StoreReader
    from forebay_fleet.watermark import Watermark

MOST_TAGS = 20
"""Of one question."""
MOST_VALUES = 10_000
"""Of one tag."""
MOST_CELLS = 50_000
"""Values, or steps, of one answer."""
MOST_BYTES = 16 << 20
"""Of texts and blobs of one tag."""
MOST_LOSSES = 1_000
LONGEST_S = 30.0
"""How long one question may take a reader."""


class Asked(NamedTuple):
    """What every question says: a gateway, a tag or a pattern of tags; see `select`."""

    gateway: str
    tag: str
    raw_times: bool = False


def patient(limit_s: float = LONGEST_S) -> Callable[[], None]:
    """Give what raises UsageError once `limit_s` are over, from now on."""
    until = time.monotonic() + limit_s

    def check() -> None:
        if time.monotonic() > until:
            raise UsageError(
                f"this takes longer than {limit_s:g} s",
                hint="ask for a shorter time or fewer tags; an export may take its time",
            )

    return check


def open_history(store: StoreReader, asked: Asked) -> GatewayHistory:
    """Give the gateway, with a limit of time. UsageError if there is none."""
    history = GatewayHistory(store, asked.gateway, raw_times=asked.raw_times)
    history.patience = patient()
    return history


def newest(store: StoreReader, asked: Asked, span_ns: tuple[int, int], limit: int) -> bytes:
    """Answer with the newest `limit` values of each tag, the oldest first, and what is missing.

    Raises:
        UsageError: no such gateway or tag, or too much is asked for.
        DecodingError: the store holds what cannot be read.
    """
    series = []
    for tag in _tags(store, asked, limit):
        tag.patience()
        answer = query(tag, span_ns, limit, MOST_BYTES)
        since = span_ns[0]
        if len(answer.values) == limit:  # older ones were not asked for, nor is what misses there
            since = answer.values[0].time_ns
        missing = losses(tag, (since, span_ns[1]))
        series.append(
            {
                "tag": f"{tag.device}/{tag.tag}",
                "unit": answer.unit,
                "values": [told(value) for value in answer.values],
                **of_losses(missing, MOST_LOSSES),
            }
        )
    return document({"gateway": asked.gateway, "series": series})


def by_position(store: StoreReader, asked: Asked, after: tuple[int, int], limit: int) -> bytes:
    """Answer with values of one tag behind a position, up to the watermark; raises as `newest`."""
    tag = TagHistory(store, asked.gateway, asked.tag, raw_times=asked.raw_times)
    tag.patience = patient()
    page = ordered(tag, after, limit, MOST_BYTES)
    return document(
        {
            "gateway": asked.gateway,
            "tag": asked.tag,
            "unit": page.unit,
            "values": [told(value) for value in page.values],
            "after": f"{page.after[0]:016x}/{page.after[1]}",
            "watermark": page.watermark and mark(page.watermark),
        }
    )


def tags(store: StoreReader, gateway: str, pattern: str, after: str, limit: int) -> bytes:
    """Answer with a page of the tags that a pattern means, by path; raises as `newest`."""
    history = open_history(store, Asked(gateway, pattern))
    paths = sorted(
        {row.path for row in history.history.tags(history.gateway_id) if matches(row, pattern)}
    )
    following = [path for path in paths if path > after]
    page = []
    for path in following[:limit]:
        (one,) = select(history, path, 1)
        said = one.told
        page.append(
            {
                "tag": path,
                "type": batch_pb2.ValueType.Name(said.type),
                "unit": said.unit,
                "address": said.address,
            }
        )
    more = len(following) > limit
    return document({"gateway": gateway, "tags": page, "after": page[-1]["tag"] if more else None})


def marks(store: StoreReader, gateway: str) -> bytes:
    """Answer with the watermarks of a gateway. UsageError if there is none."""
    open_history(store, Asked(gateway, ""))
    found = [mark(one) for one in watermarks(store.lines(gateway))]
    return document({"gateway": gateway, "watermarks": found})


def ranges(store: StoreReader, asked: Asked, span_ns: tuple[int, int], steps: int) -> bytes:
    """Answer with each tag in steps, and what is missing; raises as `newest`."""
    series = []
    for tag in _tags(store, asked, steps):
        found = in_steps(tag, span_ns, steps)
        series.append(
            {
                "tag": f"{tag.device}/{tag.tag}",
                "unit": found.unit,
                **of_steps(found.steps),
                **of_losses(found.missing, MOST_LOSSES),
            }
        )
    return document({"gateway": asked.gateway, "series": series})


def mark(watermark: Watermark) -> dict[str, Any]:
    """Give a watermark for JSON."""
    return {
        "stream": uplink_pb2.Stream.Name(watermark.stream).lower(),
        "epoch": f"{watermark.epoch:016x}",
        "seq": watermark.seq,
        "open": watermark.open,
    }


def _tags(store: StoreReader, asked: Asked, cells: int) -> list[TagHistory]:
    """Give the tags that are asked for; `cells` is what each of them adds to the answer."""
    history = open_history(store, asked)
    found = select(history, asked.tag, MOST_TAGS)
    if len(found) > 1 and len(found) * cells > MOST_CELLS:
        raise UsageError(
            f"{len(found)} tags of {cells} are more than {MOST_CELLS}",
            hint="ask for fewer of each, or for one tag at a time",
        )
    return [TagHistory.of(history, one.path, one.columns) for one in found]
