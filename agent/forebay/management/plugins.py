"""The plugins of a running agent: which run, on what, and how one is taken up anew.

Owns the hosts and the feeds, and the way of a plugin's write to the gate. Must not know processes
(`pluginhost.host`) or who asks (`control`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forebay.cancellation import end
from forebay.config.plugins import judge
from forebay.errors import ForebayError, PluginUnavailable
from forebay.model import Outcome, Stream
from forebay.pluginhost.feed import CURSOR, FeedParts, JournalFeed
from forebay.pluginhost.host import PluginHost
from forebay.pluginhost.results import results_schemas
from forebay.writing.rules import Action, Ask

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from forebay.config.load import LoadedConfig
    from forebay.config.plugins import LoadedPlugin
    from forebay.errors import Fault
    from forebay.interfaces import Seams, Value
    from forebay.journal.journal import Journal
    from forebay.management.tasks import Start
    from forebay.model import Schema
    from forebay.pipeline.intake import Pipeline
    from forebay.pipeline.shadow import Shadow
    from forebay.pluginhost.settings import Instance
    from forebay.pluginhost.views import Write
    from forebay.writing.gate import Gate

STOP_S = 5.0
"""How long a stopping agent waits for the work that plugins have in hand."""


@dataclass(frozen=True, slots=True)
class Engines:
    """What feeds work on."""

    journal: Journal
    pipeline: Pipeline
    gate: Gate
    shadow: Shadow


def result_schemas(plugins: Iterable[LoadedPlugin]) -> list[tuple[Stream, Schema]]:
    """Give the schemas of what plugins will give, so that their tags are known from the start."""
    return [
        known
        for plugin in plugins
        if plugin.instance is not None and plugin.settings.enabled
        for known in results_schemas(plugin.name, plugin.instance.outputs).all()
    ]


def plugin_cursors(plugins: Iterable[LoadedPlugin]) -> list[str]:
    """Give the cursors of plugins that want all there is, also what came while they were off."""
    return [
        CURSOR + plugin.name
        for plugin in plugins
        if plugin.instance is not None
        and plugin.settings.enabled
        and plugin.instance.start == "all"
    ]


def device_schemas(loaded: LoadedConfig) -> list[tuple[Stream, Schema]]:
    """Give the schemas of what enabled devices will give."""
    return [
        (Stream.TELEMETRY, schema)
        for device in loaded.devices
        if device.spec.settings.enabled
        for schema in device.spec.schemas
    ]


class PluginSet:
    """Every plugin of the configuration; those that are enabled and sound have a host."""

    def __init__(self, loaded: LoadedConfig, engines: Engines, seams: Seams) -> None:
        """Make the hosts. Nothing runs before `begin`."""
        self.state = loaded.state
        self.loaded: dict[str, LoadedPlugin] = {one.name: one for one in loaded.plugins}
        self._engines, self._seams = engines, seams
        self._devices = device_schemas(loaded)
        self._feeds: dict[str, JournalFeed] = {}
        self.hosts: dict[str, PluginHost] = {}
        """Those that run."""
        self.tasks: dict[str, asyncio.Task[None]] = {}
        """What they run in, by name; the agent ends them."""
        self._start: Start | None = None
        self._claims: tuple[str, ...] = ()
        self._claim(loaded.plugins)
        for one in loaded.plugins:
            if one.instance is not None and one.settings.enabled:
                self._add(one.instance)

    def _claim(self, plugins: Iterable[LoadedPlugin]) -> None:
        """Hold back what the plugins that want all there is have not seen."""
        self._claims = tuple(plugin_cursors(plugins))
        for cursor in self._claims:
            self._engines.journal.cursor(cursor)

    def begin(self, start: Start) -> None:
        """Run the hosts, and from now on each that comes to be, in tasks that `start` makes."""
        self._start = start
        for name, host in self.hosts.items():
            self.tasks[name] = start(f"plugin[{name}]", host.run())

    async def end(self, names: Collection[str]) -> None:
        """Have these end what they have in hand, within STOP_S, and forget them."""
        going = [name for name in names if name in self.hosts]
        await asyncio.gather(*(self.hosts[name].stop(STOP_S) for name in going))
        await end([self.tasks.pop(name) for name in going if name in self.tasks])
        for name in going:
            del self.hosts[name]
            self._feeds.pop(name, None)

    async def follow(
        self, loaded: LoadedConfig, names: Collection[str], gone: Collection[str]
    ) -> None:
        """Have the plugins of `loaded`; those in `names` are others now, and have ended.

        Devices `gone` have other tags, or none. Who looks at these goes on with what there is.
        """
        before, claims = self.loaded, self._claims
        self._devices = device_schemas(loaded)
        self.loaded = {
            one.name: one if one.name in names else before.get(one.name, one)
            for one in loaded.plugins
        }
        self._claim(self.loaded.values())
        for cursor in set(claims) - set(self._claims):
            await self._engines.journal.leave(cursor)
        known = [*self._devices, *result_schemas(self.loaded.values())]
        for feed in self._feeds.values():
            feed.know({*gone, *names}, known)
        for one in self.loaded.values():
            if one.name in names and one.instance is not None and one.settings.enabled:
                self._add(one.instance)

    def _add(self, instance: Instance) -> None:
        name = instance.name
        host = PluginHost(instance, self._feed, self._seams, self._directory(name))
        self.hosts[name] = host
        if self._start is not None:
            self.tasks[name] = self._start(f"plugin[{name}]", host.run())

    def _directory(self, name: str) -> Path:
        return self.state / "plugins" / "instances" / name

    def _feed(self, instance: Instance) -> JournalFeed:
        """Make the feed of a plugin; the newest of that name is the one that is told of."""
        engines = self._engines
        parts = FeedParts(
            journal=engines.journal,
            intake=engines.pipeline,
            tail=engines.pipeline.tail,
            seams=self._seams,
            file=self._directory(instance.name) / "progress.json",
            write=_writer(engines.gate, instance.name),
        )
        known = [*self._devices, *result_schemas(self.loaded.values())]
        self._feeds[instance.name] = feed = JournalFeed(instance, parts, known)
        return feed

    async def stop(self) -> None:
        """Have every plugin end what it has in hand, within STOP_S; the pipeline must still run."""
        await asyncio.gather(*(host.stop(STOP_S) for host in self.hosts.values()))

    async def refresh(self, name: str) -> None:
        """Take up `name` as it is on disk now.

        Raises PluginError if it is not sound or does not get ready: the one before goes on. One
        that was refused until now is begun with.
        """
        host, before = self.hosts.get(name), self.loaded[name]
        faults: list[Fault] = []
        fresh = judge(name, before.settings, self.state, faults)
        if fresh.instance is None:
            why = f"{faults[0].path}: {faults[0].message}" if faults else "it is not sound"
            raise PluginUnavailable(why, hint=faults[0].hint if faults else "", kind="start")
        if host is not None:
            await host.swap(fresh.instance)
        self.loaded[name] = fresh
        given = [one for stream, one in result_schemas([fresh]) if stream is Stream.TELEMETRY]
        self._engines.shadow.follow({name: given})
        if host is None:
            self._add(fresh.instance)

    def restarts(self) -> int:
        """Count how often a plugin that runs now has died or had to be ended."""
        return sum(sum(host.status().failures.values()) for host in self.hosts.values())

    def memory_bytes(self) -> int:
        """Give what the plugins' processes take, as far as it is known."""
        return sum(host.status().memory_bytes for host in self.hosts.values())

    def lag_s(self, name: str) -> float:
        """Give the age of the oldest data that `name` has not worked on; 0 if none waits."""
        return self._feeds[name].lag_s()

    def skipped(self, name: str) -> int:
        """Give how many records `name` passed over because it begins with the newest."""
        return self._feeds[name].figures.skipped


def _writer(gate: Gate, name: str) -> Write:
    """Give what a plugin's writes go through: asked for by `plugin:NAME`, decided by the gate."""

    async def write(
        device: str, tag: str, value: Value, ask_id: str, reason: str
    ) -> tuple[str, str]:
        ask = Ask(Action.WRITE, device, tag, (value,), ask_id, f"plugin:{name}", reason)
        try:
            result = await gate.ask(ask)
        except ForebayError as error:
            return Outcome.REFUSED.value, str(error)
        return result.outcome.value, result.detail

    return write
