"""What a running agent tells a person who asks.

Owns the questions (`AgentView`) and the answers' shapes, which mirror
proto/forebay/v1/control.proto: a field of the same name means the same here and there, and in the
JSON of every command. Must not know who asks, nor how an engine finds the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from forebay.config.attempts import Rolling
    from forebay.config.carried import Carrying
    from forebay.config.linked import LinkStatus
    from forebay.config.tended import Tending
    from forebay.control.planning import PlanReply
    from forebay.control.pluginview import PluginsView
    from forebay.interfaces import Driver
    from forebay.writing.gate import Result
    from forebay.writing.rules import Ask


class TagKey(NamedTuple):
    """One tag; people write it `DEVICE/TAG`. A device's name holds no slash, a tag's may."""

    device: str
    name: str

    def __str__(self) -> str:
        """Give what people write."""
        return f"{self.device}/{self.name}"


@dataclass(frozen=True, slots=True)
class StatusReply:
    """The gateway at a glance.

    `state` is starting, running or draining; `samples_per_s` counts what was produced over the last
    10 s; `problems` are lines for a person, the worst first, and `notes` tell of what is as it was
    configured and explains what is seen. `devices` and `uplinks` are the
    enabled ones; `pending_records` and their age are those of the uplink that is furthest behind.
    """

    gateway: str
    version: str
    uptime_s: float
    state: str
    devices: int
    devices_connected: int
    tags: int
    samples_per_s: float
    rss_bytes: int
    problems: tuple[str, ...] = ()
    devices_disabled: int = 0
    uplinks: int = 0
    uplinks_connected: int = 0
    pending_records: int = 0
    oldest_pending_s: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """One device and its session.

    `state` is disabled, connecting, connected or waiting. `last_poll_ms` is the duration of the
    last poll; `last_data_ns` is wall time, 0 for none yet; `next_try_s` is the time until the next
    connection attempt while waiting. `line` is what it shares with other devices, empty if nothing;
    `line_load` is for what part of the time its line was held lately, 0 to 1. `period_s` is the
    shortest of its groups that are polled, 0 if none is.
    """

    name: str
    protocol: str
    state: str
    tags: int
    tags_bad: int = 0
    polls: int = 0
    overruns: int = 0
    connections: int = 0
    last_poll_ms: float = 0.0
    last_data_ns: int = 0
    last_error: str = ""
    last_hint: str = ""
    next_try_s: float = 0.0
    line: str = ""
    line_load: float = 0.0
    period_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TagValue:
    """One tag with its last value as a reader sees it (scaled).

    `value` is None where there is no usable one. `type` is a ValueType's text, `quality` an OPC UA
    StatusCode; `time_ns` is the source time and `received_ns` the receipt time, wall clock, both 0
    for a tag never read.
    """

    device: str
    name: str
    address: str
    type: str
    unit: str
    group: str
    value: bool | int | float | str | None
    quality: int
    time_ns: int
    received_ns: int


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """Samples of one stream as one uplink sees them.

    produced = delivered + pending + gapped + quarantined. `accepted` are held in memory, not yet
    durable and not in `produced`.
    """

    stream: str
    uplink: str
    produced: int
    delivered: int
    pending: int
    gapped: int
    quarantined: int
    accepted: int = 0


@dataclass(frozen=True, slots=True)
class UplinkStatus:
    """One uplink and its forwarder.

    `state` is disabled, connecting, connected or waiting. `unacked_bytes` are sent and not
    acknowledged, `credit_bytes` is what the destination allows of them. `oldest_pending_s` is the
    age of the oldest record that waits; `last_ack_s` is the time since the last acknowledgement,
    negative for never. Of the pending records the live lane sends `live_records` and the backfill
    lane `backfill_records`; `held` says why nothing or only part is sent although the link is up,
    and `stuck` the part of it that no limit of the gateway's own is.
    `sent_today_bytes` counts payload since midnight local time. `quarantined_records` are set aside
    at the gateway. `unheard_messages` are those that a broker said nobody subscribes to.
    """

    name: str
    kind: str
    state: str
    records_sent: int = 0
    records_acked: int = 0
    bytes_sent: int = 0
    pending_records: int = 0
    pending_bytes: int = 0
    unacked_bytes: int = 0
    credit_bytes: int = 0
    oldest_pending_s: float = 0.0
    last_ack_s: float = -1.0
    sessions: int = 0
    last_error: str = ""
    last_hint: str = ""
    live_records: int = 0
    backfill_records: int = 0
    held: str = ""
    sent_today_bytes: int = 0
    quarantined_records: int = 0
    unheard_messages: int = 0
    stuck: str = ""


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """What the journal holds of one epoch of one stream.

    Times are wall time, 0 for none; `max_bytes` is the stream's quota, and `overflow` what it does
    when that is full: thin, drop_oldest, drop_newest or block.
    """

    stream: str
    epoch: int
    first_seq: int
    next_seq: int
    bytes: int
    max_bytes: int
    segments: int
    samples: int
    oldest_ns: int
    newest_ns: int
    overflow: str = ""


@dataclass(frozen=True, slots=True)
class JournalStatusReply:
    """The journal: its streams, how long commits take (recent ones), what waits in memory.

    `max_bytes` is for all streams together: the limit, or what the disk has room for if that is
    less; `disk_free_bytes` is 0 of a disk that does not say. No segment grows older than
    `max_age_s`. This process has written `bytes_written`,
    whatever for, in `bytes_written_s`; `wear_bytes_per_day` is what the configuration allows, 0 for
    no budget.
    `trouble` says why nothing can be written now, empty if all is well. `thinned_samples` were
    taken out of what is on disk.
    """

    directory: str
    streams: tuple[StreamStatus, ...]
    commit_p50_ms: float
    commit_p99_ms: float
    commits: int
    ring_bytes: int
    ring_max_bytes: int
    disk_free_bytes: int
    max_bytes: int = 0
    bytes_written: int = 0
    bytes_written_s: float = 0.0
    wear_bytes_per_day: int = 0
    trouble: str = ""
    thinned_samples: int = 0
    quarantined_records: int = 0
    max_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SegmentStatus:
    """One segment file. `last_seq` is 0 for an empty one; times are wall time."""

    stream: str
    file: str
    epoch: int
    first_seq: int
    last_seq: int
    bytes: int
    samples: int
    sealed: bool
    time_min_ns: int
    time_max_ns: int


@dataclass(frozen=True, slots=True)
class RecordSummary:
    """One record.

    `kind` is batch, schema, gap or anchor; `text` says what is in it: source and group, tags of a
    schema, cause of a gap.
    """

    stream: str
    epoch: int
    seq: int
    kind: str
    samples: int
    bytes: int
    time_min_ns: int
    time_max_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class QuarantinedRecord:
    """One record that is set aside at the gateway because a destination failed on it.

    `id` is `UPLINK/STREAM-EPOCH-SEQ`; `at_ns` is the wall time at which it was set aside; `code` is
    the destination's word for the fault, or `Suspect`.
    """

    id: str
    uplink: str
    stream: str
    epoch: int
    seq: int
    kind: str
    samples: int
    bytes: int
    at_ns: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class QuarantineDone:
    """What became of a choice of quarantined records.

    `done` holds the ids with which it went well, `failed` one `ID: reason` for each other one.
    """

    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class WriteGate(Protocol):
    """Through which everything goes that changes a device."""

    async def ask(self, ask: Ask, deadline_s: float = 0.0) -> Result:
        """See `forebay.writing.gate.Gate.ask`."""
        ...


class ActingView(Protocol):
    """What a person changes by a running agent."""

    @property
    def gate(self) -> WriteGate:
        """Give the way to what a device is made to do."""
        ...

    @property
    def set_aside(self) -> QuarantineView:
        """Give the way to the records that destinations refused."""
        ...

    @property
    def plugins(self) -> PluginsView:
        """Give the way to the plugins."""
        ...

    @property
    def config(self) -> Rolling | None:
        """Give the way to another configuration; None where there is none."""
        ...

    @property
    def carrying(self) -> Carrying | None:
        """Give the way for what is carried by hand; None where there is none."""
        ...

    @property
    def tending(self) -> Tending | None:
        """Give the way to what looks after the agent; None where there is none."""
        ...

    @property
    def link(self) -> LinkStatus | None:
        """Give how the line to the fleet server is; None where there can be none."""
        ...


class QuarantineView(Protocol):
    """The quarantine of a running agent; called as `AgentView` is."""

    def list(self, uplink: str) -> Iterable[QuarantinedRecord]:
        """Give what is set aside for one uplink, or for all if empty, oldest first."""
        ...

    async def retry(self, ids: Sequence[str]) -> QuarantineDone:
        """Send these once more; what is acknowledged leaves the quarantine."""
        ...

    async def drop(self, ids: Sequence[str]) -> QuarantineDone:
        """Remove these for good."""
        ...


class AgentView(ActingView, Protocol):
    """A running agent. The composition root implements it; the control server asks.

    What is in quarantine can be changed from here, devices through `gate`, what `plugins` are
    run, and through `config` the configuration; nothing else.

    Every method is called on the agent's event loop, one call per request, by at most a few
    requests at once. What needs the disk is a coroutine. A ForebayError that a method raises
    reaches the person with its hint.
    """

    def status(self) -> StatusReply:
        """Give the gateway at a glance."""
        ...

    def devices(self) -> Iterable[DeviceStatus]:
        """Give every configured device, disabled ones too, in the order of the configuration."""
        ...

    def tag_keys(self) -> Sequence[TagKey]:
        """Give every tag, in the order of the configuration. Called once a page: keep it ready."""
        ...

    def tag_values(self, keys: Sequence[TagKey]) -> Sequence[TagValue | None]:
        """Give the last value of each key as the gateway holds it, None for an unknown key.

        Asks no device. `keys` is at most a page long (`limits.PAGE_TAGS`).
        """
        ...

    def uplinks(self) -> Iterable[UplinkStatus]:
        """Give every configured uplink, disabled ones too, in the order of the configuration."""
        ...

    async def ledger(self) -> Iterable[LedgerLine]:
        """Give one line for each pair of stream and uplink, streams in order of urgency."""
        ...

    async def journal_status(self) -> JournalStatusReply:
        """Give the journal at a glance."""
        ...

    async def segments(self) -> Iterable[SegmentStatus]:
        """Give every segment, oldest first within its stream."""
        ...

    async def show_records(
        self, stream: str, seq_from: int, limit: int, run: int
    ) -> Iterable[RecordSummary]:
        """Give up to `limit` records of `stream` (a Stream's text), oldest first.

        They start at `seq_from` of the epoch whose number is `run` (0: the newest), or at the next
        one there is; 0 stands for the newest `limit` records, of all epochs if `run` is 0.
        """
        ...

    def plan(self, device: str) -> PlanReply:
        """Say how a device is asked, and why so. RequestInvalid for a device that there is not."""
        ...

    def connected(self, device: str) -> Driver:
        """Give the driver of a device that is connected now, for what the device itself is asked.

        RequestInvalid for a device that there is not, RequestFailed if it is not connected.
        """
        ...
