"""The running agent's answers to the control socket.

Owns the translation of engine state into the shapes of `control.view`. Must not change anything it
looks at.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, NamedTuple

from forebay import __version__
from forebay.control import problems
from forebay.control.planning import explain
from forebay.control.setaside import SetAside
from forebay.control.summaries import Summaries
from forebay.control.view import (
    DeviceStatus,
    JournalStatusReply,
    LedgerLine,
    SegmentStatus,
    StatusReply,
    StreamStatus,
    TagKey,
    TagValue,
    UplinkStatus,
)
from forebay.errors import RequestFailed, RequestInvalid
from forebay.forwarding.status import backlog
from forebay.model import Position, Stream, epoch_number
from forebay.pluginhost.results import WINDOW
from forebay.usage import rss_bytes, written_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from forebay.acquisition.session import Session
    from forebay.config.attempts import Rolling
    from forebay.config.carried import Carrying
    from forebay.config.linked import LinkStatus
    from forebay.config.load import LoadedConfig
    from forebay.config.tended import Tending
    from forebay.control.planning import PlanReply
    from forebay.control.pluginanswers import PluginAnswers
    from forebay.control.view import RecordSummary
    from forebay.forwarding.forwarder import Forwarder
    from forebay.interfaces import DeviceSpec, Driver, Head, Seams
    from forebay.journal.journal import Journal, SegmentInfo
    from forebay.pipeline.intake import Pipeline
    from forebay.pipeline.shadow import Shadow
    from forebay.writing.gate import Gate

RATE_WINDOW_S = 10.0
SHOW_BYTES = 1 << 20


class Acting(NamedTuple):
    """What people change through the agent: devices, what plugins run, the configuration.

    And, of what is carried by hand, what comes in and goes out; and the agent itself.
    """

    gate: Gate
    plugins: PluginAnswers
    config: Rolling | None = None
    carrying: Carrying | None = None
    tending: Tending | None = None
    link: Callable[[], LinkStatus] | None = None


class Answers:
    """Implements `control.view.AgentView` over the engines."""

    def __init__(
        self,
        loaded: LoadedConfig,
        seams: Seams,
        journal: Journal,
        pipeline: Pipeline,
        shadow: Shadow,
        sessions: Sequence[Session],
        forwarders: Sequence[Forwarder],
        acting: Acting,
    ) -> None:
        """Look at these engines; `acting` is what can be made to do something."""
        self._seams, self._journal = seams, journal
        self._pipeline, self._shadow = pipeline, shadow
        self.gate = acting.gate
        """See `AgentView.gate`."""
        self.plugins = acting.plugins
        """See `AgentView.plugins`."""
        self.config = acting.config
        """See `AgentView.config`."""
        self.carrying = acting.carrying
        """See `AgentView.carrying`."""
        self.tending = acting.tending
        """See `AgentView.tending`."""
        self._link = acting.link
        self.unserved: Callable[[], tuple[str, str]] = _all_told
        """Says why metrics are not served, and not sent; empty if they are or need not be."""
        self.follow(loaded, sessions, forwarders)
        self._began_s = seams.clock.monotonic_s()
        self._written_before = written_bytes()
        self._rates: deque[tuple[float, int]] = deque([(self._began_s, 0)], maxlen=64)
        self.state = "starting"

    def follow(
        self,
        loaded: LoadedConfig,
        sessions: Iterable[Session],
        forwarders: Iterable[Forwarder],
    ) -> None:
        """Look at another configuration from now on, and at what runs of it."""
        self._loaded = loaded
        self._sessions = {session.name: session for session in sessions}
        self._forwarders = {forwarder.name: forwarder for forwarder in forwarders}
        self._keys: tuple[TagKey, ...] = ()
        self._keys_of = -1
        self._summaries = Summaries(
            (schema for device in loaded.devices for schema in device.spec.schemas),
            self._journal.schema,
        )
        self.set_aside = SetAside(self._journal.quarantine, self._forwarders)
        """See `AgentView.set_aside`."""

    def observe(self) -> None:
        """Note how much was produced so far. Called about once a second by the agent."""
        self._rates.append((self._seams.clock.monotonic_s(), self._pipeline.accepted_samples))
        while len(self._rates) > 2 and self._rates[-1][0] - self._rates[1][0] >= RATE_WINDOW_S:
            self._rates.popleft()
        self.plugins.observe()

    def status(self) -> StatusReply:
        """See `AgentView.status`."""
        now_s = self._seams.clock.monotonic_s()
        (then_s, then), *_ = self._rates
        span_s = now_s - then_s
        uplinks = [forwarder.status() for forwarder in self._forwarders.values()]
        return StatusReply(
            gateway=self._loaded.config.gateway.id,
            version=__version__,
            uptime_s=now_s - self._began_s,
            state=self.state,
            devices=len(self._sessions),
            devices_connected=sum(s.status.state == "connected" for s in self._sessions.values()),
            devices_disabled=len(self._loaded.devices) - len(self._sessions),
            uplinks=len(uplinks),
            uplinks_connected=sum(uplink.state == "connected" for uplink in uplinks),
            pending_records=max((uplink.pending_records for uplink in uplinks), default=0),
            oldest_pending_s=max((uplink.oldest_pending_s for uplink in uplinks), default=0.0),
            tags=len(self.tag_keys()),
            samples_per_s=(self._pipeline.accepted_samples - then) / span_s if span_s > 0 else 0.0,
            rss_bytes=rss_bytes(),
            problems=(
                *problems.of_journal(
                    self._journal.stats().trouble, self.set_aside.count(), self._wear()
                ),
                *problems.of_data(
                    self._journal.stats(),
                    self._pipeline.lost_samples,
                    self._free_bytes(),
                    self._growth_bytes(),
                ),
                *problems.of_log(self._seams.events),
                *problems.of_metrics(*self.unserved()),
                *problems.of_clock(self._pipeline.anchors, self._seams.clock.monotonic_s()),
                *problems.of_links(self._sessions, self._forwarders, self._shadow.bad_counts()),
                *problems.of_plugins(self.plugins.statuses()),
            ),
            notes=tuple(problems.notes(self._forwarders)),
        )

    def _wear(self) -> problems.Wear:
        return problems.Wear(
            written_bytes() - self._written_before,
            self._seams.clock.monotonic_s() - self._began_s,
            self._loaded.config.journal.wear_budget,
        )

    def _growth_bytes(self) -> int:
        """Give by how much the journal may grow if somebody said how large it may be, else 0."""
        used = sum(self._journal.stats().stream_bytes.values())
        return max(0, (self._loaded.config.journal.max_size or 0) - used)

    def _free_bytes(self) -> int | None:
        """Give what is free where the journal lies, None if the disk does not even say that."""
        try:
            return self._seams.disk.free_bytes(self._journal.directory)
        except OSError:
            return None

    @property
    def link(self) -> LinkStatus | None:
        """See `AgentView.link`."""
        return None if self._link is None else self._link()

    def devices(self) -> Iterable[DeviceStatus]:
        """See `AgentView.devices`."""
        bad = self._shadow.bad_counts()
        counts: dict[str, int] = {}
        for key in self.tag_keys():
            counts[key.device] = counts.get(key.device, 0) + 1
        now_s = self._seams.clock.monotonic_s()
        for device in self._loaded.devices:
            name, protocol = device.spec.name, device.spec.settings.protocol
            session = self._sessions.get(name)
            if session is None:
                tags = sum(len(schema.tags) for schema in device.spec.schemas)
                yield DeviceStatus(name, protocol, "disabled", tags)
                continue
            status = session.status
            waiting = status.state == "waiting"
            yield DeviceStatus(
                name=name,
                protocol=protocol,
                state=status.state,
                tags=counts.get(name, 0),
                tags_bad=bad.get(name, 0),
                polls=status.polls,
                overruns=status.overruns,
                connections=status.connections,
                last_poll_ms=status.last_poll_ms,
                last_data_ns=status.last_data_ns,
                last_error=status.last_error,
                last_hint=status.last_hint,
                next_try_s=max(0.0, status.next_try_at_s - now_s) if waiting else 0.0,
                line=session.line.name if session.news.shared else "",
                line_load=session.line.load(),
                period_s=min(_polled_s(device.spec), default=0.0),
            )

    def tag_keys(self) -> Sequence[TagKey]:
        """See `AgentView.tag_keys`."""
        if self._keys_of != self._shadow.turns:
            self._keys_of = self._shadow.turns
            sources = {device.spec.name for device in self._loaded.devices}
            self._keys = tuple(
                TagKey(schema.source, schema.tags[column].name)
                for schema, column in self._shadow.walk()
                if schema.tags[column].name != WINDOW or schema.source in sources
            )
        return self._keys

    def tag_values(self, keys: Sequence[TagKey]) -> Sequence[TagValue | None]:
        """See `AgentView.tag_values`."""
        return [self._tag_value(key) for key in keys]

    def _tag_value(self, key: TagKey) -> TagValue | None:
        found = self._shadow.get(key.device, key.name)
        if found is None:
            return None
        schema, sample = found
        tag = sample.tag
        assert not isinstance(sample.value, bytes), "the shadow tells bytes by their length"
        return TagValue(
            device=key.device,
            name=tag.name,
            address=tag.address,
            type=tag.type.value,
            unit=tag.unit,
            group=schema.group,
            value=sample.value,
            quality=sample.quality,
            time_ns=sample.time_ns,
            received_ns=sample.received_ns,
        )

    def uplinks(self) -> Iterable[UplinkStatus]:
        """See `AgentView.uplinks`."""
        for name, _, settings in self._loaded.uplinks:
            forwarder = self._forwarders.get(name)
            if forwarder is None:
                yield self._disabled(name, settings.kind)
            else:
                status = UplinkStatus(**asdict(forwarder.status()))
                yield replace(status, quarantined_records=self.set_aside.count(name))

    def _disabled(self, name: str, kind: str) -> UplinkStatus:
        """Give what waits for an uplink that is switched off."""
        cursor = self._journal.cursor(name)
        reached = {stream: cursor.get(stream) for stream in Stream}
        pending = backlog(self._journal.segments(), reached)
        age_ns = 0 if pending.oldest_ns is None else self._seams.clock.now_ns() - pending.oldest_ns
        return UplinkStatus(
            name=name,
            kind=kind,
            state="disabled",
            pending_records=pending.records,
            pending_bytes=pending.size_bytes,
            oldest_pending_s=max(age_ns, 0) / 1e9,
            quarantined_records=self.set_aside.count(name),
        )

    async def ledger(self) -> Iterable[LedgerLine]:
        """See `AgentView.ledger`."""
        lines = []
        for stream in Stream:
            await asyncio.sleep(0)  # polls go on: it takes the longer the more files there are
            waiting = self._pipeline.pending_samples(stream)
            for name in [name for name, _, _ in self._loaded.uplinks] or [""]:
                cursor = self._journal.cursor(name) if name else None
                account = self._journal.ledger(stream, cursor)
                if account.produced or waiting or (name and stream is Stream.TELEMETRY):
                    lines.append(
                        LedgerLine(
                            stream=stream.value,
                            uplink=name,
                            produced=account.produced,
                            delivered=account.delivered,
                            pending=account.pending,
                            gapped=account.gapped,
                            quarantined=account.quarantined,
                            accepted=waiting,
                        )
                    )
        return lines

    async def journal_status(self) -> JournalStatusReply:
        """See `AgentView.journal_status`."""
        stats, wear = self._journal.stats(), self._wear()
        of_head: dict[tuple[Stream, int], list[SegmentInfo]] = {}
        for segment in self._journal.segments():
            of_head.setdefault((segment.stream, segment.epoch), []).append(segment)
        policies = self._loaded.config.journal.streams
        streams = []
        for head in self._journal.heads():
            mine = of_head.get((head.stream, head.epoch), [])
            streams.append(
                StreamStatus(
                    stream=head.stream.value,
                    epoch=head.epoch,
                    first_seq=head.first_seq,
                    next_seq=head.next_seq,
                    bytes=sum(s.bytes for s in mine),
                    max_bytes=stats.max_bytes[head.stream],
                    segments=len(mine),
                    samples=sum(s.samples for s in mine),
                    oldest_ns=min((s.time_min_ns for s in mine if s.samples), default=0),
                    newest_ns=max((s.time_max_ns for s in mine if s.samples), default=0),
                    overflow=getattr(policies, head.stream.value).overflow,
                )
            )
        return JournalStatusReply(
            directory=str(self._journal.directory),
            streams=tuple(streams),
            commit_p50_ms=stats.commit_p50_ms,
            commit_p99_ms=stats.commit_p99_ms,
            commits=stats.commits,
            ring_bytes=stats.queued_bytes,
            ring_max_bytes=stats.ring_max_bytes,
            disk_free_bytes=self._free_bytes() or 0,
            max_bytes=stats.budget_bytes,
            bytes_written=wear.written_bytes,
            bytes_written_s=wear.over_s,
            wear_bytes_per_day=wear.budget_a_day,
            trouble=stats.trouble,
            thinned_samples=stats.thinned_samples,
            quarantined_records=self.set_aside.count(),
            max_age_s=self._loaded.config.journal.max_age,
        )

    async def segments(self) -> Iterable[SegmentStatus]:
        """See `AgentView.segments`."""
        return [
            SegmentStatus(
                stream=s.stream.value,
                file=s.file,
                epoch=s.epoch,
                first_seq=s.first_seq,
                last_seq=s.last_seq,
                bytes=s.bytes,
                samples=s.samples,
                sealed=s.sealed,
                time_min_ns=s.time_min_ns,
                time_max_ns=s.time_max_ns,
            )
            for s in self._journal.segments()
        ]

    async def show_records(
        self, stream: str, seq_from: int, limit: int, run: int
    ) -> Iterable[RecordSummary]:
        """See `AgentView.show_records`."""
        heads = [
            head
            for head in self._journal.heads()
            if head.stream.value == stream and run in (0, epoch_number(head.epoch))
        ]
        if not heads:
            return []
        newest = heads[-1]
        after = Position(newest.stream, newest.epoch, seq_from - 1)
        if not seq_from:
            after = _before_newest(heads, limit)
        end = Position(newest.stream, newest.epoch, newest.next_seq - 1)
        found: list[RecordSummary] = []
        while len(found) < limit and after < end:
            records = await self._journal.read(after, SHOW_BYTES)
            records = [record for record in records if record.position <= end]
            if not records:
                break
            after = records[-1].position
            found += await self._summaries.of(records[: limit - len(found)])
            del records  # before the next ones come: each may hold 16 MiB
        return found

    def plan(self, device: str) -> PlanReply:
        """See `AgentView.plan`."""
        return explain(self._session(device))

    def _session(self, device: str) -> Session:
        session = self._sessions.get(device)
        if session is None:
            raise RequestInvalid(
                f"there is no device {device!r}, or it is not enabled",
                hint="`forebay devices` lists them",
            )
        return session

    def connected(self, device: str) -> Driver:
        """See `AgentView.connected`."""
        session = self._session(device)
        if session.driver is None:
            error = session.status.last_error
            raise RequestFailed(
                f"{device} is not connected" + (f": {error}" if error else ""),
                hint=session.status.last_hint or "wait until it is: `forebay devices`",
            )
        return session.driver


def _before_newest(heads: Sequence[Head], limit: int) -> Position:
    """Give the position before the newest `limit` records, over epochs."""
    for head in reversed(heads):
        count = head.next_seq - head.first_seq
        if count >= limit:
            return Position(head.stream, head.epoch, head.next_seq - 1 - limit)
        limit -= count
    return Position(heads[0].stream, heads[0].epoch, heads[0].first_seq - 1)


def _all_told() -> tuple[str, str]:
    return "", ""


def _polled_s(spec: DeviceSpec) -> Iterator[float]:
    """Give the periods of a device's groups that are polled, in s."""
    groups = spec.settings.groups
    for schema in spec.schemas:
        if groups[schema.group].mode != "subscribe":
            yield groups[schema.group].period
