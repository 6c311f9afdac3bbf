"""What Prometheus is told of a running agent: every figure, declared once, with its help.

Owns their names. Nothing is counted per tag: what a scrape costs grows with devices, uplinks and
plugins, which the configuration bounds. The counters of what happened are those of `events`. Pure:
it looks at what an `AgentView` answered. Must not know who asks, nor the format of the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from forebay.model import ClockState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.control.pluginview import PluginStatus
    from forebay.control.view import (
        DeviceStatus,
        JournalStatusReply,
        LedgerLine,
        StatusReply,
        UplinkStatus,
    )

T = TypeVar("T")

NS = 1e-9


class Clock(NamedTuple):
    """What is known of the wall clock; `error_s` is 0 where nobody can know."""

    state: ClockState
    error_s: float


class Stream(NamedTuple):
    """One stream of the journal, over all its epochs; `oldest_ns` is wall time, 0 for none."""

    name: str
    bytes: int
    max_bytes: int
    segments: int
    samples: int
    oldest_ns: int


class Sight(NamedTuple):
    """What a scrape is made of. `link` is a state of the line to the fleet, empty for none."""

    status: StatusReply
    devices: Sequence[DeviceStatus]
    uplinks: Sequence[UplinkStatus]
    plugins: Sequence[PluginStatus]
    journal: JournalStatusReply
    ledger: Sequence[LedgerLine]
    clock: Clock
    link: str


@dataclass(frozen=True, slots=True)
class Figure(Generic[T]):
    """One metric. `of` gives its value of one row, None for nothing to tell.

    `forebay_` is put before `name`, and `_total` behind that of what only `counts` up.
    """

    name: str
    help: str
    of: Callable[[T], float | None]
    counts: bool = False


class Table(NamedTuple, Generic[T]):
    """Metrics that tell of the same rows, and the names of the labels that tell these apart."""

    labels: tuple[str, ...]
    figures: tuple[Figure[T], ...]


GATEWAY: Table[Sight] = Table(
    (),
    (
        Figure("uptime_seconds", "Time since the start.", lambda s: s.status.uptime_s),
        Figure(
            "ready",
            "1 while running, 0 while starting or draining.",
            lambda s: s.status.state == "running",
        ),
        Figure(
            "problems", "Problems that `forebay status` tells.", lambda s: len(s.status.problems)
        ),
        Figure("devices", "Devices that are enabled.", lambda s: s.status.devices),
        Figure("tags", "Tags that are read.", lambda s: s.status.tags),
        Figure(
            "samples_per_second",
            "Samples produced over the last 10 s.",
            lambda s: s.status.samples_per_s,
        ),
        Figure(
            "clock_error_seconds",
            "By how much the wall clock may be off; only while synced or in holdover.",
            lambda s: s.clock.error_s if s.clock.state is not ClockState.UNSYNCED else None,
        ),
        Figure(
            "link_connected",
            "1 if the fleet server is reached; only on an enrolled gateway.",
            lambda s: s.link == "connected" if s.link not in ("", "unenrolled") else None,
        ),
    ),
)
DEVICE: Table[DeviceStatus] = Table(
    ("device",),
    (
        Figure(
            "device_connected",
            "1 if the device answers.",
            lambda d: d.state == "connected",
        ),
        Figure("device_tags", "Tags of the device.", lambda d: d.tags),
        Figure("device_tags_bad", "Tags without a usable value.", lambda d: d.tags_bad),
        Figure("device_polls", "Polls that were made.", lambda d: d.polls, counts=True),
        Figure(
            "device_polls_missed",
            "Polls left out as the one before was not over.",
            lambda d: d.overruns,
            counts=True,
        ),
        Figure(
            "device_poll_seconds",
            "How long the last poll took.",
            lambda d: d.last_poll_ms / 1e3 or None,
        ),
        Figure(
            "device_period_seconds",
            "Shortest period that it is polled at.",
            lambda d: d.period_s or None,
        ),
        Figure(
            "device_newest_data_timestamp_seconds",
            "When data came last, Unix time.",
            lambda d: d.last_data_ns * NS if d.last_data_ns else None,
        ),
        Figure(
            "device_line_load",
            "Part of the time that the line it shares is held.",
            lambda d: d.line_load if d.line else None,
        ),
    ),
)
UPLINK: Table[UplinkStatus] = Table(
    ("uplink",),
    (
        Figure(
            "uplink_connected",
            "1 if the destination answers.",
            lambda u: u.state == "connected",
        ),
        Figure(
            "uplink_pending_records",
            "Records that wait to be acknowledged.",
            lambda u: u.pending_records,
        ),
        Figure("uplink_pending_bytes", "Their bytes.", lambda u: u.pending_bytes),
        Figure(
            "uplink_oldest_pending_seconds",
            "Age of the oldest of them.",
            lambda u: u.oldest_pending_s,
        ),
        Figure(
            "uplink_backfill_records",
            "Those of them that the backfill lane sends.",
            lambda u: u.backfill_records,
        ),
        Figure(
            "uplink_unacknowledged_bytes",
            "Bytes sent and not acknowledged.",
            lambda u: u.unacked_bytes,
        ),
        Figure(
            "uplink_credit_bytes", "What the destination allows of them.", lambda u: u.credit_bytes
        ),
        Figure(
            "uplink_silence_seconds",
            "Time since the last acknowledgement.",
            lambda u: u.last_ack_s if u.last_ack_s >= 0 else None,
        ),
        Figure(
            "uplink_stuck",
            "1 if nothing is sent although the link is up, and no limit of ours says so.",
            lambda u: bool(u.stuck),
        ),
        Figure(
            "uplink_quarantined_records",
            "Records set aside as the destination refuses them.",
            lambda u: u.quarantined_records,
        ),
        Figure(
            "uplink_sent_records",
            "Records sent, some more than once.",
            lambda u: u.records_sent,
            counts=True,
        ),
        Figure(
            "uplink_acknowledged_records",
            "Records acknowledged.",
            lambda u: u.records_acked,
            counts=True,
        ),
        Figure("uplink_sent_bytes", "Payload sent.", lambda u: u.bytes_sent, counts=True),
    ),
)
PLUGIN: Table[PluginStatus] = Table(
    ("plugin",),
    (
        Figure(
            "plugin_running",
            "1 if it works.",
            lambda p: p.state == "running",
        ),
        Figure(
            "plugin_lag_seconds",
            "Age of the oldest data that it has not worked on.",
            lambda p: p.lag_s,
        ),
        Figure("plugin_memory_bytes", "Memory of its processes.", lambda p: p.memory_bytes),
        Figure(
            "plugin_p99_seconds",
            "From giving it a work until the results are there, of recent ones 99 %.",
            lambda p: p.took_p99_ms / 1e3 if p.windows else None,
        ),
        Figure(
            "plugin_restarts", "Times that it was started again.", lambda p: p.restarts, counts=True
        ),
        Figure("plugin_windows", "Windows that it worked on.", lambda p: p.windows, counts=True),
        Figure(
            "plugin_windows_failed",
            "Windows of which it said that it could not.",
            lambda p: p.windows_failed,
            counts=True,
        ),
        Figure(
            "plugin_windows_given_up",
            "Windows given up, behind a gap.",
            lambda p: p.windows_passed,
            counts=True,
        ),
        Figure("plugin_samples", "Samples of its results.", lambda p: p.samples, counts=True),
        Figure(
            "plugin_samples_refused",
            "Samples of its results that were not taken.",
            lambda p: p.samples_refused,
            counts=True,
        ),
    ),
)
JOURNAL: Table[JournalStatusReply] = Table(
    (),
    (
        Figure("journal_writing", "0 if nothing can be written now.", lambda j: not j.trouble),
        Figure(
            "journal_max_bytes",
            "What the journal may take, or has room for if that is less.",
            lambda j: j.max_bytes,
        ),
        Figure("journal_disk_free_bytes", "Free space where it lies.", lambda j: j.disk_free_bytes),
        Figure(
            "journal_waiting_bytes", "What waits in memory for the disk.", lambda j: j.ring_bytes
        ),
        Figure("journal_waiting_max_bytes", "How much may.", lambda j: j.ring_max_bytes),
        Figure(
            "journal_commit_p50_seconds",
            "How long commits take, of recent ones half.",
            lambda j: j.commit_p50_ms / 1e3 if j.commits else None,
        ),
        Figure(
            "journal_commit_p99_seconds",
            "Of recent ones 99 %.",
            lambda j: j.commit_p99_ms / 1e3 if j.commits else None,
        ),
        Figure(
            "journal_quarantined_records", "Records set aside.", lambda j: j.quarantined_records
        ),
        Figure(
            "journal_thinned_samples",
            "Samples taken out of what is on disk.",
            lambda j: j.thinned_samples,
        ),
        Figure("journal_commits", "Commits.", lambda j: j.commits, counts=True),
        Figure(
            "written_bytes",
            "What this process has sent to disks, whatever for.",
            lambda j: j.bytes_written,
            counts=True,
        ),
    ),
)
STREAM: Table[Stream] = Table(
    ("stream",),
    (
        Figure("journal_bytes", "What the stream takes.", lambda s: s.bytes),
        Figure("journal_stream_max_bytes", "What it may take.", lambda s: s.max_bytes),
        Figure("journal_segments", "Its files.", lambda s: s.segments),
        Figure("journal_samples", "Samples in them.", lambda s: s.samples),
        Figure(
            "journal_oldest_timestamp_seconds",
            "Source time of the oldest of them, Unix time.",
            lambda s: s.oldest_ns * NS if s.oldest_ns else None,
        ),
    ),
)
LEDGER: Table[LedgerLine] = Table(
    ("stream", "uplink"),
    (
        Figure(
            "ledger_produced_samples", "Samples that the journal answers for.", lambda e: e.produced
        ),
        Figure("ledger_delivered_samples", "Those delivered.", lambda e: e.delivered),
        Figure("ledger_pending_samples", "Those on disk that wait.", lambda e: e.pending),
        Figure("ledger_gapped_samples", "Those gone, with a gap that says so.", lambda e: e.gapped),
        Figure("ledger_quarantined_samples", "Those set aside.", lambda e: e.quarantined),
    ),
)
TABLES: tuple[Table[Any], ...] = (GATEWAY, DEVICE, UPLINK, PLUGIN, JOURNAL, STREAM, LEDGER)
