"""Says over the stream how this box does: its parts, its journal, its clock.

Owns the form (Health in fleet.proto), and the forecast. Must not know who listens.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from forebay._proto import fleet_pb2 as pb
from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from forebay.forwarding.status import UplinkStatus
    from forebay.interfaces import Head, Seams
    from forebay.management.runtime import Runtime
    from forebay.management.views import Vitals

LEAST_S = 5.0
"""What else there is to say may go out each second; this is looked at no more often than so."""
MAX_COMPONENTS, MAX_TEXT, MAX_NAMED = 1_100, 300, 5
SPAN_S, SURE_S = 900.0, 60.0
"""A forecast goes by the last quarter of an hour, once it has seen a minute of it."""
FAR_S = 366 * 86_400.0
_AT_WORK = frozenset({"starting", "running"})


class Forecast:
    """When what a destination lacks fills the journal, if it goes on as it did."""

    def __init__(self) -> None:
        """Have seen nothing yet."""
        self._seen: deque[tuple[float, int]] = deque(maxlen=round(SPAN_S / LEAST_S))

    def note(self, now_s: float, pending_bytes: int) -> None:
        """See how much is pending, at a monotonic time."""
        while self._seen and now_s - self._seen[0][0] > SPAN_S:
            self._seen.popleft()
        self._seen.append((now_s, pending_bytes))

    def full_in_s(self, budget_bytes: int) -> float:
        """Give the time until that fills the budget; 0 if it does not grow, or not within a year.

        At least 1 where it does.
        """
        if len(self._seen) < 2:
            return 0.0
        (then_s, then), (now_s, now) = self._seen[0], self._seen[-1]
        if now_s - then_s < SURE_S or now <= then:
            return 0.0
        left_s = (budget_bytes - now) * (now_s - then_s) / (now - then)
        return max(1.0, left_s) if left_s < FAR_S else 0.0


class Health:
    """Of one agent: a `parts.Part`."""

    capabilities = pb.AGENT_REPORTS_HEALTH

    def __init__(self, runtime: Runtime, seams: Seams) -> None:
        """Look at this agent, which begins now."""
        self._runtime, self._seams = runtime, seams
        self._began_s = seams.clock.monotonic_s()
        self._last_s: float | None = None
        self._forecast = Forecast()
        self.news: Callable[[], None] = _nobody
        """See `Part.news`."""

    async def take(self, message: object, identity: object) -> None:
        """See `Part.take`: nothing is asked of it."""

    def report(self, message: pb.AgentToServer, *, full: bool) -> None:
        """See `Part.report`."""
        now_s = self._seams.clock.monotonic_s()
        if not full and self._last_s is not None and now_s - self._last_s < LEAST_S:
            return
        self._last_s = now_s
        message.health.CopyFrom(self._now(now_s))

    def _now(self, now_s: float) -> pb.Health:
        runtime = self._runtime
        uplinks = [one.status() for one in runtime.uplinks.forwarders.values()]
        figures = runtime.journal.stats()
        self._forecast.note(now_s, max((one.pending_bytes for one in uplinks), default=0))
        found = summed_up(
            runtime.vitals(), [*self._devices(), *map(_uplink, uplinks), *self._plugins()]
        )
        found.uptime_s = now_s - self._began_s
        found.buffer_s = max((one.oldest_pending_s for one in uplinks), default=0.0)
        found.journal_full_in_s = self._forecast.full_in_s(figures.budget_bytes)
        found.clock = runtime.pipeline.anchors.state.name
        if not runtime.journal.detached:
            found.heads.extend(newest(runtime.journal.heads()))
        return found

    def _devices(self) -> Iterator[pb.ComponentHealth]:
        """A device is well whose values came since it was begun, and that is not given up now."""
        for name, session in sorted(self._runtime.devices.sessions.items()):
            status = session.status
            yield pb.ComponentHealth(
                kind="device",
                name=name,
                healthy=status.good_samples > 0 and status.state != "waiting",
                state=status.state,
                error=status.last_error[:MAX_TEXT] if status.state != "connected" else "",
                hint=status.last_hint[:MAX_TEXT] if status.state != "connected" else "",
            )

    def _plugins(self) -> Iterator[pb.ComponentHealth]:
        plugins = self._runtime.plugins
        for name, loaded in sorted(plugins.loaded.items()):
            host = plugins.hosts.get(name)
            if host is not None:
                status = host.status()
                state: str = status.state
                well = state in _AT_WORK
                error, hint = ("", "") if well else (status.last_error, status.last_hint)
            elif loaded.refused is not None:
                well, state = False, "refused"
                error, hint = loaded.refused.message, loaded.refused.hint
            else:
                continue  # it is disabled
            yield pb.ComponentHealth(
                kind="plugin",
                name=name,
                healthy=well,
                state=state,
                error=error[:MAX_TEXT],
                hint=hint[:MAX_TEXT],
            )


def summed_up(vitals: Vitals, components: Sequence[pb.ComponentHealth]) -> pb.Health:
    """Say in a line how a box does whose parts do so; those that are not well go first."""
    bad = [one for one in components if not one.healthy]
    names = [f"{one.kind} {one.name}" for one in bad[:MAX_NAMED]]
    more = f" and {len(bad) - MAX_NAMED} more" if len(bad) > MAX_NAMED else ""
    trouble = vitals.journal.trouble
    said = trouble or (f"not well: {', '.join(names)}{more}" if bad else "well")
    ordered = sorted(components, key=lambda one: one.healthy)
    return pb.Health(
        healthy=not bad and not trouble,
        status=said[:MAX_TEXT],
        last_error=(trouble or next((one.error for one in bad if one.error), ""))[:MAX_TEXT],
        memory_bytes=vitals.memory_bytes,
        components=ordered[:MAX_COMPONENTS],
    )


def newest(heads: Iterable[Head]) -> list[pb.JournalHead]:
    """Give of each stream the head of its newest epoch: what a restored journal has lost shows."""
    found: Mapping[Stream, Head] = {
        head.stream: head for head in sorted(heads, key=lambda one: one.epoch)
    }
    return [
        pb.JournalHead(stream=stream.value, epoch=found[stream].epoch, next_seq=head.next_seq)
        for stream in Stream
        if (head := found.get(stream)) is not None
    ]


def _uplink(status: UplinkStatus) -> pb.ComponentHealth:
    well = status.state == "connected"
    return pb.ComponentHealth(
        kind="uplink",
        name=status.name,
        healthy=well,
        state=status.state,
        error="" if well else status.last_error[:MAX_TEXT],
        hint="" if well else status.last_hint[:MAX_TEXT],
    )


def _nobody() -> None:
    """Tell nobody."""
