"""From what the agent answers to rows of text: what `forebay top` shows in each of its views.

Owns words and order. Pure: takes answers and the time, gives rows. Must not know the screen.
Every row that wants attention begins with `!`, so that no colour is needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forebay.cli import devices as device_words
from forebay.cli import output
from forebay.cli import plugins as plugin_words
from forebay.cli.tags import value_text
from forebay.cli.tend import COLOUR
from forebay.journal.forecast import HOUR_S, Span, rate
from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay._proto import control_pb2 as pb

BARS = "▁▂▃▄▅▆▇█"
SPARK = 12
"""How many of a tag's last values its line has."""
_BAD_BIT = 1 << 31
_NUMBERS = ("bool_value", "int_value", "uint_value", "double_value")


@dataclass(frozen=True)
class Row:
    """One line: `part` is what `forebay restart` calls it, `detail` what is said of it below."""

    key: str
    cells: tuple[str, ...]
    detail: str = ""
    part: str = ""
    ill: bool = False


@dataclass(frozen=True)
class Sheet:
    """What a view shows. Columns whose title begins with `>` stand to the right."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    empty: str = ""


def _mark(ill: object) -> str:
    return "!" if ill else " "


def _fault(error: str, hint: str) -> str:
    return output.clean(f"{error}; next: {hint}" if hint else error)


def devices(reply: pb.DevicesReply, now_ns: int) -> Sheet:
    """Show devices, those in trouble first."""
    order = device_words.ORDER
    ranked = sorted(
        reply.devices,
        key=lambda d: (order.index(d.state) if d.state in order else -1, d.tags_bad == 0),
    )
    rows = []
    for one in ranked:
        late_s = lateness(one, now_ns)
        ill = one.state in ("waiting", "connecting") or one.tags_bad > 0 or late_s > 0
        said = _fault(one.last_error, one.last_hint) if one.state == "waiting" else ""
        told = (
            f"{one.protocol}, {output.counted(one.tags, 'tag')}, {one.tags_bad:,} bad, "
            f"{output.counted(one.polls, 'poll')}, {one.overruns:,} missed, "
            f"{output.counted(one.connections, 'connection')}"
        )
        rows.append(
            Row(
                one.name,
                (
                    _mark(ill),
                    output.clean(one.name),
                    one.state,
                    output.count(one.tags),
                    output.count(one.tags_bad),
                    output.duration(one.period_s) if one.period_s else "-",
                    f"{one.last_poll_ms:.1f} ms" if one.polls else "-",
                    output.duration(late_s) if late_s > 0 else "-",
                    output.count(one.overruns),
                ),
                f"{told}\n{said}",
                f"device {one.name}",
                ill,
            )
        )
    columns = (" ", "DEVICE", "STATE", ">TAGS", ">BAD", ">EVERY", ">POLL", ">LATE", ">MISSED")
    return Sheet(columns, tuple(rows), "no devices are configured")


def lateness(one: pb.DeviceStatus, now_ns: int) -> float:
    """Give by how many s the last data of a device that is polled is overdue, 0 if it is not.

    A picture comes once a second: less than a second, or a period, is not called late.
    """
    if one.state != "connected" or not one.last_data_ns or not one.period_s:
        return 0.0
    late_s = (now_ns - one.last_data_ns) / 1e9 - one.period_s - one.last_poll_ms / 1e3
    return late_s if late_s > max(1.0, one.period_s) else 0.0


def tags(found: Sequence[pb.TagValue], past: Mapping[str, Sequence[float]], now_ns: int) -> Sheet:
    """Show tags with the last of their values, as far as the screen has seen them."""
    rows = []
    for one in found:
        name, bad = f"{one.device}/{one.name}", bool(one.quality & _BAD_BIT)
        value = f"{short(one)} {one.unit}".rstrip()
        rows.append(
            Row(
                name,
                (
                    _mark(bad),
                    output.clean(name),
                    output.clean(value),
                    spark(past.get(name, ())),
                    output.age(one.time_ns, now_ns),
                    one.quality_name,
                ),
                output.clean(
                    f"{value_text(one)} {one.unit} of {output.moment(one.time_ns)}, "
                    f"{one.quality_name}"
                )
                + "\n"
                + output.clean(f"{one.address}, {one.type}, group {one.group}"),
                f"device {one.device}",
                bad,
            )
        )
    columns = (" ", "TAG", ">VALUE", "LATELY", "AGE", "QUALITY")
    return Sheet(columns, tuple(rows), "no tag matches")


def short(one: pb.TagValue) -> str:
    """Give a value in as few digits as tell it from others: the line has 80 columns."""
    value = number(one)
    if one.WhichOneof("value") == "double_value" and value is not None:
        return f"{value:.6g}"
    return value_text(one)


def number(one: pb.TagValue) -> float | None:
    """Give a value that can be drawn, None if there is none."""
    which = one.WhichOneof("value")
    return float(getattr(one, which)) if which in _NUMBERS else None


def spark(values: Sequence[float]) -> str:
    """Draw the last of `values`, the lowest as the lowest bar."""
    shown = [value for value in values[-SPARK:] if abs(value) < float("inf")]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    span = high - low
    if not 0 < span < float("inf"):
        return BARS[0] * len(shown)
    return "".join(BARS[round((value - low) / span * (len(BARS) - 1))] for value in shown)


def journal(status: pb.JournalStatusReply, segments: pb.SegmentsReply, now_ns: int) -> Sheet:
    """Show the streams, and how long the room lasts if nothing were delivered from now on."""
    used = sum(stream.bytes for stream in status.streams)
    rows = []
    for one in status.streams:
        spans = [
            Span(Stream(s.stream), s.time_min_ns, s.time_max_ns, s.bytes, s.samples)
            for s in segments.segments
            if s.stream == one.stream and s.time_min_ns
        ]
        lately = rate(spans, now_ns, HOUR_S)
        limit = one.max_bytes or status.max_bytes
        room = max(0, min(limit - one.bytes, status.max_bytes - used))
        lasts = output.duration(room / lately.bytes_s) if lately else "-"
        ill = bool(status.trouble)
        rows.append(
            Row(
                one.stream,
                (
                    _mark(ill),
                    one.stream,
                    output.size(one.bytes),
                    output.size(limit),
                    output.count(one.segments),
                    f"{output.size(lately.bytes_s * 86_400)}" if lately else "-",
                    lasts,
                    one.overflow.replace("_", " "),
                ),
                f"oldest {output.moment(one.oldest_ns)}, {output.counted(one.samples, 'sample')}; "
                f"commits p50 {status.commit_p50_ms:.1f} ms, p99 {status.commit_p99_ms:.1f} ms; "
                f"{output.size(status.disk_free_bytes)} free\n{output.clean(status.trouble)}",
                ill=ill,
            )
        )
    columns = (" ", "STREAM", ">HOLDS", ">OF", ">FILES", ">A DAY", ">ROOM FOR", "THEN")
    return Sheet(columns, tuple(rows), "nothing is journaled")


def uplinks(reply: pb.UplinksReply) -> Sheet:
    """Show uplinks with what waits in their lanes."""
    rows = []
    for one in reply.uplinks:
        ill = one.state in ("waiting", "connecting") or bool(one.stuck)
        held = _fault(one.last_error, one.last_hint) if one.state != "connected" else one.held
        rows.append(
            Row(
                one.name,
                (
                    _mark(ill),
                    output.clean(one.name),
                    one.state,
                    output.count(one.live_records),
                    output.count(one.backfill_records),
                    output.size(one.pending_bytes),
                    output.duration(one.oldest_pending_s) if one.pending_records else "-",
                    "never" if one.last_ack_s < 0 else f"{output.duration(one.last_ack_s)} ago",
                ),
                f"{one.kind}, {output.size(one.bytes_sent)} sent, "
                f"{output.size(one.sent_today_bytes)} today, "
                f"{one.quarantined_records:,} in quarantine\n{output.clean(held)}",
                f"uplink {one.name}",
                ill,
            )
        )
    columns = (" ", "UPLINK", "STATE", ">LIVE", ">BACKFILL", ">SIZE", ">OLDEST", "LAST ACK")
    return Sheet(columns, tuple(rows), "no uplinks are configured: readings stay in the journal")


def plugins(reply: pb.PluginsReply) -> Sheet:
    """Show plugins, those in trouble first."""
    order = plugin_words.ORDER
    rows = []
    for one in sorted(
        reply.plugins, key=lambda p: order.index(p.state) if p.state in order else -1
    ):
        ill = one.state not in ("running", "starting", "disabled")
        rows.append(
            Row(
                one.name,
                (
                    _mark(ill),
                    output.clean(one.name),
                    output.clean(f"{one.plugin} {one.version}".rstrip()),
                    one.state,
                    f"{one.windows_per_s:,.1f}",
                    output.duration(one.lag_s) if one.lag_s else "-",
                    output.count(one.restarts),
                    output.size(one.memory_bytes) if one.pid else "-",
                ),
                output.clean(one.detail) + "\n" + _fault(one.last_error, one.last_hint),
                f"plugin {one.name}",
                ill,
            )
        )
    columns = (" ", "NAME", "PLUGIN", "STATE", ">WIN/S", ">LAG", ">RESTARTS", ">MEMORY")
    return Sheet(columns, tuple(rows), "no plugins are configured")


def events(lines: Sequence[pb.LogLine]) -> Sheet:
    """Show the log, the newest first."""
    rows = []
    for one in reversed(lines):
        text = output.clean(_plain(" ".join(COLOUR.sub("", one.text).split())))
        ill = any(f"[{level}" in text for level in ("warning", "error", "critical"))
        rows.append(Row(str(one.number), (_mark(ill), text), text, ill=ill))
    return Sheet((" ", "WHAT HAPPENED"), tuple(rows), "nothing was logged")


def _plain(line: str) -> str:
    """Give a line of the log as people read it, whatever `[log] format` says."""
    try:
        told = json.loads(line) if line.startswith("{") else None
    except ValueError:  # cut, since it was too long
        told = None
    if not isinstance(told, dict):
        return line
    begin = (told.pop("timestamp", ""), f"[{told.pop('level', '')}]", told.pop("event", ""))
    return " ".join((*map(str, begin), *(f"{name}={value}" for name, value in told.items())))
