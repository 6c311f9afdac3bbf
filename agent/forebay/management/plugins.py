"""The plugins of a running agent: which run, on what, and how one is taken up anew.

Owns the hosts and the feeds, and the way of a plugin's write to the gate. Must not know processes
(`pluginhost.host`) or who asks (`control`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from forebay.config.plugins import judge
from forebay.errors import PluginUnavailable, RequestInvalid
from forebay.model import Outcome
from forebay.writing.rules import Action, Ask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from forebay.config.load import LoadedConfig
    from forebay.config.plugins import LoadedPlugin
    from forebay.errors import Fault
    from forebay.interfaces import Seams, Value
    from forebay.journal.journal import Journal
    from forebay.model import Schema
    from forebay.pipeline.intake import Pipeline
    from forebay.pluginhost.feed import JournalFeed
    from forebay.pluginhost.host import PluginHost
    from forebay.pluginhost.seams import Input
    from forebay.pluginhost.settings import Instance
    from forebay.writing.gate import Gate

STOP_S = 5.0
"""How long a stopping agent waits for the work that plugins have in hand."""


@dataclass(frozen=True, slots=True)
class Engines:
    """What feeds work on."""

    journal: Journal
    pipeline: Pipeline
    gate: Gate


def schemas_of(plugins: Iterable[LoadedPlugin]) -> list[Schema]:
    """Give the schemas of what plugins will give, so that their tags are known from the start."""
    plugins = [one for one in plugins if one.instance is not None and one.settings.enabled]
    if not plugins:
        return []
    from forebay.pluginhost.results import results_schemas

    return [schema for plugin in plugins for schema in results_schemas(plugin.instance)]


class PluginSet:
    """Every plugin of the configuration; those that are enabled and sound have a host."""

    def __init__(self, loaded: LoadedConfig, engines: Engines, seams: Seams) -> None:
        """Make the hosts. Nothing runs before the agent runs them."""
        self.state = loaded.state
        self.loaded: dict[str, LoadedPlugin] = {one.name: one for one in loaded.plugins}
        self._engines, self._seams = engines, seams
        self._known = [schema for device in loaded.devices for schema in device.spec.schemas]
        self._feeds: dict[str, JournalFeed] = {}
        if any(one.instance and one.settings.enabled for one in loaded.plugins):
            from forebay.pluginhost.host import PluginHost
        self.hosts: Mapping[str, PluginHost] = {
            one.name: PluginHost(one.instance, self._feed, seams, self._directory(one.name))
            for one in loaded.plugins
            if one.instance is not None and one.settings.enabled
        }

    def _directory(self, name: str) -> Path:
        return self.state / "plugins" / "instances" / name

    def _feed(self, instance: Instance) -> JournalFeed:
        """Make the feed of a plugin, the newest of that name."""
        from forebay.pluginhost.feed import FeedParts, JournalFeed

        engines = self._engines
        parts = FeedParts(
            journal=engines.journal,
            intake=engines.pipeline,
            tail=engines.pipeline.tail,
            write=_writer(engines.gate, instance.name),
            seams=self._seams,
            state=self._directory(instance.name) / "progress.json",
        )
        schemas = [*self._known, *schemas_of(self.loaded.values())]
        self._feeds[instance.name] = feed = JournalFeed(instance, parts, schemas)
        return feed

    async def refresh(self, name: str) -> None:
        """Take up `name` as it is on disk now.

        Raises PluginError if it is not sound or does not get ready: the one before goes on. One
        that was refused at the start has no host, and waits for the agent's next start.
        """
        host, before = self.hosts.get(name), self.loaded[name]
        faults: list[Fault] = []
        fresh = judge(name, before.settings, self.state, faults)
        if fresh.instance is None:
            why = f"{faults[0].path}: {faults[0].message}" if faults else "it is not sound"
            raise PluginUnavailable(why, hint=faults[0].hint if faults else "", kind="start")
        if host is None:
            raise PluginUnavailable(
                "it was not sound when the agent started", hint="restart the agent", kind="start"
            )
        await host.swap(fresh.instance)
        self.loaded[name] = fresh

    def inputs(self, name: str) -> Sequence[Input]:
        """Give the tags that the windows of `name` hold now."""
        return self._feeds[name].resolved

    def lag_s(self, name: str) -> float:
        """Give the age of the oldest data that `name` has not worked on; 0 if none waits."""
        return self._feeds[name].lag_s()

    def skipped(self, name: str) -> int:
        """Give how many windows `name` left out because it starts with the newest."""
        return self._feeds[name].skipped


def _writer(
    gate: Gate, name: str
) -> Callable[[str, str, Value, str, str], Awaitable[tuple[str, str]]]:
    """Give what a plugin's writes go through: asked for by `plugin:NAME`, decided by the gate."""

    async def write(
        device: str, tag: str, value: Value, ask_id: str, reason: str
    ) -> tuple[str, str]:
        ask = Ask(Action.WRITE, device, tag, (value,), ask_id, f"plugin:{name}", reason)
        try:
            result = await gate.ask(ask)
        except RequestInvalid as error:
            return Outcome.REFUSED.value, str(error)
        return result.outcome.value, result.detail

    return write
