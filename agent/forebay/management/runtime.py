"""The running agent: every part of one configuration, and the way to another while it runs.

Owns the order in which parts start, change and stop. Must not know who asks for a change, nor
whether it was a good one.

Parts start from the journal outwards, and stop from the devices inwards, so that nothing that was
accepted is left behind. A change ends what differs, in that order, and begins it again; whatever
does not differ goes on: connections, periods, places in the journal.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay.acquisition.standstill import Pulse
from forebay.cancellation import end
from forebay.config.diff import Change, changes
from forebay.events import CONFIG_CHANGED, SESSION_FAILED
from forebay.management.devices import DeviceSet
from forebay.management.liveness import Signs
from forebay.management.plugins import Engines, PluginSet, result_schemas
from forebay.management.uplinks import UplinkSet
from forebay.management.views import Applied, JournalVitals, Vitals
from forebay.model import Stream
from forebay.pipeline.intake import Pipeline
from forebay.pipeline.shadow import Shadow
from forebay.usage import rss_bytes
from forebay.writing.gate import Device as Gated
from forebay.writing.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from forebay.config.devices import Device
    from forebay.config.load import LoadedConfig
    from forebay.config.metrics import MetricsSettings
    from forebay.config.model import LogSettings
    from forebay.forwarding.forwarder import Forwarder
    from forebay.interfaces import Seams, Stage
    from forebay.journal.journal import Journal
    from forebay.management.tasks import Start
    from forebay.model import Schema

_Stages = dict[str, tuple["Stage", ...]]
_NAMES_TOLD = 20
"""How many parts one line of the log names."""


class _Ready(NamedTuple):
    """What was made of another configuration before anything was touched."""

    stages: _Stages
    forwarders: list[Forwarder]


class Runtime:
    """All parts between the journal and the control socket. Implements `management.views.Live`.

    `prepare`, then `begin`; `stop_inputs`, then what feeds the journal; then `stop_outputs`.
    """

    def __init__(self, loaded: LoadedConfig, journal: Journal, seams: Seams) -> None:
        """Make the parts that every configuration has; `prepare` makes the others."""
        self._loaded, self._seams, self.journal = loaded, seams, journal
        config = loaded.config
        self._stages = _build_stages(_enabled(loaded), {})
        derived = [s for stream, s in result_schemas(loaded.plugins) if stream is Stream.TELEMETRY]
        self.shadow = Shadow(
            [*(s for device in _enabled(loaded) for s in device.spec.schemas), *derived]
        )
        self.pipeline = Pipeline(
            journal,
            self.shadow,
            self._stages,
            seams,
            commit_interval_s=config.journal.commit_interval,
        )
        self._pulse = Pulse(seams)
        self.devices = DeviceSet(self.pipeline, loaded.state, self._pulse, seams)
        self.uplinks = UplinkSet(journal, config.gateway.id, seams)
        self.gate = Gate(config.writes, {}, self.pipeline, journal, seams)
        engines = Engines(journal, self.pipeline, self.gate, self.shadow)
        self.plugins = PluginSet(loaded, engines, seams)
        self._start: Start | None = None
        self._polling: list[asyncio.Task[None]] = []
        self._turn = asyncio.Lock()
        self._applying: asyncio.Task[Applied] | None = None
        self.asked_again = asyncio.Event()
        """Set by `again`."""
        self.fleet: Callable[[], bool | None] = _unknown
        """Says whether the fleet server is reached, None if there is none."""
        self.told: Callable[[], None] = _nobody
        """Called when another configuration runs, before anybody hears of it otherwise."""
        self.settled: Callable[[], None] = _nobody
        """Called when what was changed has begun."""
        self.relog: Callable[[LogSettings], None] = _ignored
        """Makes the log what its settings say."""
        self.remeter: Callable[[MetricsSettings], None] = _ignored
        """Answers who asks for metrics as its settings say."""

    @property
    def loaded(self) -> LoadedConfig:
        """See `Live.loaded`."""
        return self._loaded

    async def prepare(self) -> None:
        """Make every session and forwarder; none runs yet."""
        loaded, everything = self._loaded, [name for name, _, _ in self._loaded.uplinks]
        turnover = self.devices.turnover(_enabled(loaded), ())
        await self.devices.end(turnover)
        await self.devices.make(turnover)
        fresh = self.uplinks.make(loaded.uplinks, everything)
        await self.uplinks.follow(loaded.uplinks, everything, fresh)
        self.gate.follow(loaded.config.writes, self._reached())
        self._turnover = turnover

    def begin(self, start: Start) -> list[asyncio.Task[None]]:
        """Run everything, in tasks that `start` makes; give those that feed the journal."""
        self._start = start
        self.uplinks.run(start)
        pipeline = self.pipeline
        feeding = [start("pipeline", pipeline.run()), start("clock", pipeline.watch_clock())]
        feeding.append(start("writes", self.gate.keep()))
        self.plugins.begin(start)
        self._polling = [start("pulse", self._pulse.run())]
        self._polling.append(start("plans", self.devices.remember()))
        self.devices.run(start, self._turnover)
        return feeding

    async def stop_inputs(self) -> None:
        """End what gives to the pipeline, which must still run: what is in hand is journaled."""
        if self._applying is not None:
            await asyncio.wait([self._applying])
        await self.gate.close()
        await self.devices.stop()
        await end(self._polling)
        await self.plugins.stop()
        await end(self.plugins.tasks.values())

    async def stop_outputs(self, drain_s: float) -> None:
        """Go on to send for at most `drain_s`, then end the forwarders."""
        await self.uplinks.drain(drain_s)
        await self.uplinks.stop()

    def again(self) -> None:
        """See `Live.again`."""
        self.asked_again.set()

    # --- change -----------------------------------------------------------------------------------

    async def apply(self, loaded: LoadedConfig) -> Applied:
        """See `Live.apply`.

        Raises, with nothing touched, what a stage or an uplink raises that cannot be built.
        """
        task = self._applying = asyncio.create_task(self._change(loaded), name="apply")
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(task)

    async def restart(self, component: str) -> bool:
        """End a part and begin it again: "device NAME", "uplink NAME" or "plugin NAME".

        False if there is none.
        """
        kind, _, name = component.partition(" ")
        running: dict[str, Collection[str]] = {
            "device": self.devices.sessions,
            "uplink": self.uplinks.forwarders,
            "plugin": self.plugins.hosts,
        }
        if name not in running.get(kind, ()):
            return False
        task = self._applying = asyncio.create_task(self._renew(kind, name), name="apply")
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        await asyncio.shield(task)
        return True

    async def _renew(self, kind: Any, name: str) -> Applied:  # noqa: ANN401 - one of diff.Kind
        async with self._turn:
            now, found = self._running(), (Change(kind, name, "change"),)
            return await self._apply(now, now, found, self._make_ready(now, found))

    async def _change(self, loaded: LoadedConfig) -> Applied:
        """Go over to `loaded`; who asked may have gone meanwhile."""
        async with self._turn:
            before = self._running()
            found = changes(before, loaded)
            if not all(change.live for change in found):
                return Applied((), restart=True)
            ready = self._make_ready(loaded, found)
            return await self._apply(before, loaded, found, ready)

    def _running(self) -> LoadedConfig:
        """Give the configuration with the plugins as they were taken up anew since."""
        return replace(self._loaded, plugins=tuple(self.plugins.loaded.values()))

    def _make_ready(self, loaded: LoadedConfig, found: Iterable[Change]) -> _Ready:
        """Make what may fail."""
        devices = self.devices.turnover(_enabled(loaded), _names(found, "device")).names
        kept = {name: made for name, made in self._stages.items() if name not in devices}
        forwarders = self.uplinks.make(loaded.uplinks, _names(found, "uplink"))
        return _Ready(_build_stages(_enabled(loaded), kept), forwarders)

    async def _apply(
        self, before: LoadedConfig, loaded: LoadedConfig, found: tuple[Change, ...], ready: _Ready
    ) -> Applied:
        """End what differs, from the devices inwards, and begin it, from the journal outwards."""
        start = self._start
        assert start is not None, "nothing runs yet"
        plugins, uplinks = _names(found, "plugin"), _names(found, "uplink")
        turnover = self.devices.turnover(_enabled(loaded), _names(found, "device"))
        await self.gate.hold(turnover.names)
        await self.plugins.end(plugins)
        await self.devices.end(turnover)
        gone = {*turnover.names, *_names(found, "device")}
        self._reshape(before, loaded, ready.stages, {*gone, *plugins})
        if _names(found, "metrics"):
            self.remeter(loaded.config.metrics)
        await self.uplinks.follow(loaded.uplinks, uplinks, ready.forwarders)
        await self.devices.make(turnover)
        self.gate.follow(loaded.config.writes, self._reached())
        await self.plugins.follow(loaded, plugins, gone)
        self.told()
        self.uplinks.run(start)
        self.devices.run(start, turnover)
        if found:
            self.settled()
        again = sorted(turnover.names - _names(found, "device"))
        changed = (*(str(change) for change in found), *(f"device {name}" for name in again))
        if changed:
            self._seams.events.emit(CONFIG_CHANGED, count=len(changed), parts=changed[:_NAMES_TOLD])
        return Applied(changed)

    def _reshape(
        self, before: LoadedConfig, loaded: LoadedConfig, stages: _Stages, gone: set[str]
    ) -> None:
        """Give the engines that stay the shape of another configuration, in one step."""
        self._loaded, self._stages = loaded, stages
        known: dict[str, list[Schema]] = {name: [] for name in gone}
        for device in _enabled(loaded):
            if device.spec.name in gone:
                known[device.spec.name] += device.spec.schemas
        for stream, schema in result_schemas(loaded.plugins):
            if stream is Stream.TELEMETRY and schema.source in gone:
                known[schema.source].append(schema)
        self.shadow.follow(known)
        self.pipeline.follow(stages, loaded.config.journal.commit_interval, gone)
        if before.config.log != loaded.config.log:
            self.relog(loaded.config.log)

    def _reached(self) -> Mapping[str, Gated]:
        sessions = self.devices.sessions
        return {name: Gated(one.spec.tags, one.operations) for name, one in sessions.items()}

    # --- signs of life ----------------------------------------------------------------------------

    def signs(self) -> Signs:
        """Give the signs of progress that a service manager goes by."""
        figures = self.journal.stats()
        return Signs(
            polls=sum(one.status.polls for one in self.devices.sessions.values()),
            commits=figures.commits,
            waiting=bool(figures.queued_bytes or self.pipeline.pending_samples()),
            trouble=figures.trouble,
            period_s=self.devices.shortest_s(),
        )

    def words(self) -> str:
        """Say in a line what runs, for `systemctl status`."""
        detached = self.journal.detached
        without = f", without a journal: {detached}" if detached else ""
        return f"{len(self.devices.sessions)} devices{without}"

    def vitals(self) -> Vitals:
        """See `Live.vitals`."""
        figures = self.journal.stats()
        return Vitals(
            monotonic_s=self._seams.clock.monotonic_s(),
            devices=self.devices.vitals(),
            journal=JournalVitals(figures.commits, figures.last_commit_s, figures.trouble),
            uplinks=self.uplinks.vitals(),
            fleet_connected=self.fleet(),
            memory_bytes=rss_bytes() + self.plugins.memory_bytes(),
            restarts=round(self._seams.events.count(SESSION_FAILED)) + self.plugins.restarts(),
        )


def _enabled(loaded: LoadedConfig) -> list[Device]:
    return [device for device in loaded.devices if device.spec.settings.enabled]


def _names(found: Iterable[Change], kind: str) -> set[str]:
    return {change.name for change in found if change.kind == kind}


def _build_stages(devices: Iterable[Device], kept: Mapping[str, tuple[Stage, ...]]) -> _Stages:
    """Give the stages of each device; those that are `kept` remember what passed them."""
    return {
        d.spec.name: kept[d.spec.name]
        if d.spec.name in kept
        else tuple(spec.build(settings) for spec, settings in d.stages)
        for d in devices
    }


def _unknown() -> None:
    """Know of no fleet server."""


def _nobody() -> None:
    """Tell nobody."""


def _ignored(_: object) -> None:
    """Leave it as it is."""
