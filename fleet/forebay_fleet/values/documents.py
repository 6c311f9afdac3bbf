"""Answers about values as JSON, which is what REST sends.

Owns the documents. Must not know HTTP, nor how anything is found. Everything here blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.values import asking
from forebay_fleet.values.telling import document, of_missing, of_steps, told

if TYPE_CHECKING:
    from forebay_fleet.store.reader import StoreReader
    from forebay_fleet.values.asking import Asked
    from forebay_fleet.watermark import Watermark


def newest(store: StoreReader, asked: Asked, span_ns: tuple[int, int], limit: int) -> bytes:
    """Answer with what `asking.newest` finds; raises as that does, as all of these do."""
    series = [
        {
            "tag": one.tag,
            "unit": one.unit,
            "values": [told(value) for value in one.values],
            **of_missing(one.missing),
        }
        for one in asking.newest(store, asked, span_ns, limit)
    ]
    return document({"gateway": asked.gateway, "series": series})


def by_position(store: StoreReader, asked: Asked, after: tuple[int, int], limit: int) -> bytes:
    """Answer with what `asking.by_position` finds."""
    page = asking.by_position(store, asked, after, limit).page
    return document(
        {
            "gateway": asked.gateway,
            "tag": asked.tag,
            "unit": page.unit,
            "values": [told(value) for value in page.values],
            "after": f"{page.after[0]:016x}/{page.after[1]}",
            "watermark": page.watermark and _mark(page.watermark),
        }
    )


def tags(store: StoreReader, asked: Asked, after: str, limit: int) -> bytes:
    """Answer with what `asking.tags` finds."""
    page = asking.tags(store, asked, after, limit)
    rows = [tag._asdict() for tag in page.tags]
    return document({"gateway": asked.gateway, "tags": rows, "after": page.after})


def marks(store: StoreReader, gateway: str) -> bytes:
    """Answer with what `asking.marks` finds."""
    found = [_mark(one) for one in asking.marks(store, gateway)]
    return document({"gateway": gateway, "watermarks": found})


def ranges(store: StoreReader, asked: Asked, span_ns: tuple[int, int], steps: int) -> bytes:
    """Answer with what `asking.ranges` finds."""
    series = [
        {
            "tag": one.tag,
            "unit": one.found.unit,
            **of_steps(one.found.steps),
            **of_missing(one.missing),
        }
        for one in asking.ranges(store, asked, span_ns, steps)
    ]
    return document({"gateway": asked.gateway, "series": series})


def _mark(watermark: Watermark) -> dict[str, Any]:
    return {
        "stream": uplink_pb2.Stream.Name(watermark.stream).lower(),
        "epoch": f"{watermark.epoch:016x}",
        "seq": watermark.seq,
        "open": watermark.open,
    }
