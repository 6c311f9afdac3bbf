"""What is asked of values: newest, ordered, in steps; and which boxes and tags there are.

Owns limits, and what is answered. Must not know how that is written (`documents`, `packing`), nor
who asks. Everything here blocks.
"""

from __future__ import annotations

import math
import time
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet._proto import batch_pb2 as pb
from forebay_fleet.errors import UsageError
from forebay_fleet.losses import losses
from forebay_fleet.query import TagHistory, ordered, query, size_bytes
from forebay_fleet.values.ranges import in_steps
from forebay_fleet.values.selecting import matches, select
from forebay_fleet.walking import GatewayHistory
from forebay_fleet.watermark import watermarks

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay_fleet.losses import Loss
    from forebay_fleet.query import Page, Value
    from forebay_fleet.store.reader import GatewayRow, StoreReader
    from forebay_fleet.values.ranges import Range
    from forebay_fleet.watermark import Watermark

MOST_ROWS = 10_000
"""Gateways, or tags, of one answer."""
MOST_TAGS = 20
"""Of one question."""
MOST_VALUES = 10_000
"""Of one tag."""
MOST_CELLS = 50_000
"""Values, or steps, of one answer."""
MOST_BYTES = 16 << 20
"""Of texts and blobs of one answer."""
MOST_LOSSES = 1_000
LONGEST_S = 30.0
"""How long one question may take a reader."""


class Asked(NamedTuple):
    """What every question says: a gateway, a tag or a pattern of tags; see `select`.

    `until_s`, of the monotonic clock: when nobody waits for the answer any more.
    """

    gateway: str
    tag: str
    raw_times: bool = False
    until_s: float = math.inf


class Export(NamedTuple):
    """What is to be exported: both ends of the span of source times are inclusive."""

    asked: Asked
    span_ns: tuple[int, int]


class Missing(NamedTuple):
    """What is missing, the newest MOST_LOSSES, and how many more there are."""

    losses: list[Loss]
    more: int


class Newest(NamedTuple):
    """The newest values of one tag, the oldest first. `wide`: see `is_wide`."""

    tag: str
    unit: str
    wide: bool
    values: list[Value]
    missing: Missing


class Ordered(NamedTuple):
    """Values of one tag by position."""

    wide: bool
    page: Page


class Stepped(NamedTuple):
    """One tag in steps."""

    tag: str
    found: Range
    missing: Missing


class TagTold(NamedTuple):
    """A tag as its newest schema has it."""

    tag: str
    type: str
    unit: str
    address: str


class Gateways(NamedTuple):
    """A page by name; `after` asks for the next one, None behind the last."""

    rows: list[GatewayRow]
    after: str | None


class Tags(NamedTuple):
    """A page by path; `after` asks for the next one, None behind the last."""

    tags: list[TagTold]
    after: str | None


def patient(until_s: float = math.inf, gone: Callable[[], bool] = bool) -> Callable[[], None]:
    """Give what raises UsageError once LONGEST_S are over from now on, or at `until_s`.

    And once the asker is `gone`: there are few that answer.
    """
    begin_s = time.monotonic()
    end_s = min(begin_s + LONGEST_S, until_s)

    def check() -> None:
        if gone():
            raise UsageError("nobody waits for the answer", hint="ask again")
        if time.monotonic() > end_s:
            raise UsageError(
                f"this takes longer than {max(end_s - begin_s, 0.0):.3g} s",
                hint="ask for a shorter time or fewer tags; an export may take its time",
            )

    return check


def open_history(store: StoreReader, asked: Asked) -> GatewayHistory:
    """Give the gateway, with a limit of time. UsageError if there is none, or it is over."""
    patience = patient(asked.until_s, store.gone)
    patience()
    history = GatewayHistory(store, asked.gateway, raw_times=asked.raw_times)
    history.patience = patience
    return history


def newest(store: StoreReader, asked: Asked, span_ns: tuple[int, int], limit: int) -> list[Newest]:
    """Give the newest `limit` values of each tag, the oldest first, and what is missing.

    Raises:
        UsageError: no such gateway or tag, or too much is asked for.
        DecodingError: the store holds what cannot be read.
    """
    found, size = [], 0
    for tag in _tags(store, asked, limit):
        tag.patience()
        answer = query(tag, span_ns, limit, MOST_BYTES)
        size += sum(map(size_bytes, answer.values))
        if size > MOST_BYTES:
            raise UsageError(
                f"texts or blobs of more than {MOST_BYTES >> 20} MiB",
                hint="lower the limit, or ask for one tag at a time",
            )
        since = span_ns[0]
        if len(answer.values) == limit:  # older ones were not asked for, nor is what misses there
            since = answer.values[0].time_ns
        missing = _missing(losses(tag, (since, span_ns[1])))
        found.append(Newest(_path(tag), answer.unit, is_wide(tag), answer.values, missing))
    return found


def by_position(store: StoreReader, asked: Asked, after: tuple[int, int], limit: int) -> Ordered:
    """Give values of one tag behind a position, up to the watermark; raises as `newest`."""
    patience = patient(asked.until_s, store.gone)
    patience()
    tag = TagHistory(store, asked.gateway, asked.tag, raw_times=asked.raw_times)
    tag.patience = patience
    return Ordered(is_wide(tag), ordered(tag, after, limit, MOST_BYTES))


def gateways(store: StoreReader, pattern: str, after: str, limit: int) -> Gateways:
    """Give a page of the gateways that a pattern means, by name."""
    rows = [r for r in store.gateways() if r.name > after and fnmatchcase(r.name, pattern)]
    return Gateways(rows[:limit], rows[limit - 1].name if len(rows) > limit else None)


def tags(store: StoreReader, asked: Asked, after: str, limit: int) -> Tags:
    """Give a page of the tags that a pattern means, by path; raises as `newest`."""
    history = open_history(store, asked)
    rows = history.history.tags(history.gateway_id)
    paths = sorted({row.path for row in rows if matches(row, asked.tag)})
    following = [path for path in paths if path > after]
    page = []
    for path in following[:limit]:
        (one,) = select(history, path, 1)
        said = one.told
        page.append(TagTold(path, pb.ValueType.Name(said.type), said.unit, said.address))
    return Tags(page, page[-1].tag if len(following) > limit else None)


def marks(store: StoreReader, gateway: str) -> list[Watermark]:
    """Give the watermarks of a gateway. UsageError if there is none."""
    open_history(store, Asked(gateway, ""))
    return watermarks(store.lines(gateway))


def ranges(store: StoreReader, asked: Asked, span_ns: tuple[int, int], steps: int) -> list[Stepped]:
    """Give each tag in steps, and what is missing; raises as `newest`."""
    series = []
    for tag in _tags(store, asked, steps):
        found = in_steps(tag, span_ns, steps)
        series.append(Stepped(_path(tag), found, _missing(found.missing)))
    return series


def is_wide(tag: TagHistory) -> bool:
    """Whether it has, or ever had, whole numbers that 63 bits do not hold."""
    return any(schema.types[column] == pb.UINT64 for schema, column in tag.columns)


def _path(tag: TagHistory) -> str:
    return f"{tag.device}/{tag.tag}"


def _missing(found: list[Loss]) -> Missing:
    some = found[-MOST_LOSSES:]
    return Missing(some, len(found) - len(some))


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
