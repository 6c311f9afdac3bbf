"""The running agent's answers about its plugins.

Owns the translation of hosts' state into the shapes of `pluginview`, and the rate of windows. Must
not know how plugins are found or run: it looks at `Plugins` and asks it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

from forebay.control.pluginview import (
    PluginDone,
    PluginFact,
    PluginLogLine,
    PluginRefusal,
    PluginStatus,
    PluginTag,
)
from forebay.errors import PluginError, RequestInvalid
from forebay.pluginhost.seams import OutputKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from forebay.config.plugins import LoadedPlugin
    from forebay.interfaces import Seams
    from forebay.pluginhost.host import PluginHost
    from forebay.pluginhost.settings import Instance

RATE_WINDOW_S = 10.0
SHOWN_INPUTS = 256


class Plugins(Protocol):
    """The plugins of the agent; `forebay.management.plugins` has them."""

    @property
    def state(self) -> Path:
        """The directory of the state."""
        ...

    @property
    def loaded(self) -> Mapping[str, LoadedPlugin]:
        """Every table, by name, in the order of the configuration, as it is now."""
        ...

    @property
    def hosts(self) -> Mapping[str, PluginHost]:
        """The hosts of those that run."""
        ...

    def lag_s(self, name: str) -> float:
        """Give the age of the oldest data that `name` has not worked on; 0 if none waits."""
        ...

    def skipped(self, name: str) -> int:
        """Give how many records `name` passed over because it begins with the newest."""
        ...

    async def refresh(self, name: str) -> None:
        """Take up `name` as it is on disk now; PluginError if it does not get ready."""
        ...


class PluginAnswers:
    """Implements `control.pluginview.PluginsView`."""

    def __init__(self, plugins: Plugins, seams: Seams) -> None:
        """Look at these plugins."""
        self._plugins, self._seams = plugins, seams
        self._windows: deque[tuple[float, dict[str, int]]] = deque(maxlen=64)

    @property
    def state(self) -> str:
        """See `PluginsView.state`."""
        return str(self._plugins.state)

    def observe(self) -> None:
        """Note how many windows were worked on so far. Called about once a second."""
        now_s = self._seams.clock.monotonic_s()
        counts = {name: host.status().windows for name, host in self._plugins.hosts.items()}
        self._windows.append((now_s, counts))
        while len(self._windows) > 2 and now_s - self._windows[1][0] >= RATE_WINDOW_S:
            self._windows.popleft()

    def statuses(self) -> Iterator[PluginStatus]:
        """See `PluginsView.statuses`."""
        for name, loaded in self._plugins.loaded.items():
            host = self._plugins.hosts.get(name)
            yield _at_rest(loaded) if host is None else self._running(loaded, host)

    def _running(self, loaded: LoadedPlugin, host: PluginHost) -> PluginStatus:
        found, instance = host.status(), host.instance
        (then_s, then), *_ = self._windows or [(0.0, {})]
        span_s = self._seams.clock.monotonic_s() - then_s
        windows = found.windows - then.get(found.name, found.windows)
        return PluginStatus(
            name=found.name,
            plugin=found.plugin,
            version=found.version,
            state=found.state,
            sandbox=found.sandbox,
            windows=found.windows,
            windows_per_s=windows / span_s if span_s > 0 else 0.0,
            lag_s=self._plugins.lag_s(found.name),
            restarts=sum(found.failures.values()),
            last_error=found.last_error,
            last_hint=found.last_hint,
            next_try_s=found.retry_in_s,
            samples=found.samples,
            samples_refused=sum(found.refused.values()),
            windows_failed=found.windows_failed,
            windows_passed=found.windows_passed,
            records_skipped=self._plugins.skipped(found.name),
            took_p50_ms=_ms(found.p50_s),
            took_p99_ms=_ms(found.p99_s),
            pid=found.pid,
            memory_bytes=found.memory_bytes,
            tasks=found.tasks,
            sdk=found.sdk,
            detail=found.detail,
            facts=tuple(PluginFact(*fact) for fact in found.facts.items()),
            inputs=tuple(
                PluginTag(one.role, one.tag, one.type.value, one.unit)
                for one in found.inputs[:SHOWN_INPUTS]
            ),
            outputs=_outputs(instance),
            refused=tuple(PluginRefusal(*one) for one in found.refused.items()),
            directory=str(instance.directory),
            installed=loaded.settings.plugin or "",
        )

    def log(self, name: str, after: int, limit: int) -> Sequence[PluginLogLine]:
        """See `PluginsView.log`."""
        printed, lines = self._host(name).printed(limit)
        first = printed - len(lines) + 1
        numbered = (PluginLogLine(first + at, text) for at, text in enumerate(lines))
        return [line for line in numbered if line.number > after]

    async def restart(self, name: str) -> PluginDone:
        """See `PluginsView.restart`."""
        loaded = self._plugins.loaded.get(name)
        if loaded is None or not loaded.settings.enabled or name in self._plugins.hosts:
            self._host(name).restart()
            return PluginDone((name,))
        try:  # it was refused: perhaps it is mended
            await self._plugins.refresh(name)
        except PluginError as error:
            return PluginDone((), (f"{name}: {error}",))
        return PluginDone((name,))

    async def refresh(self, plugin: str) -> PluginDone:
        """See `PluginsView.refresh`."""
        done, failed = [], []
        for name, loaded in self._plugins.loaded.items():
            if loaded.settings.plugin != plugin or not loaded.settings.enabled:
                continue
            try:
                await self._plugins.refresh(name)
            except PluginError as error:
                failed.append(f"{name}: {error}")
            else:
                done.append(name)
        return PluginDone(tuple(done), tuple(failed))

    def _host(self, name: str) -> PluginHost:
        host = self._plugins.hosts.get(name)
        if host is None:
            known = ", ".join(self._plugins.hosts) or "none"
            raise RequestInvalid(
                f"there is no plugin {name!r}, or it does not run", hint=f"those that do: {known}"
            )
        return host


def _at_rest(loaded: LoadedPlugin) -> PluginStatus:
    """Tell of a plugin that is not run."""
    instance, refused = loaded.instance, loaded.refused
    plugin = instance.manifest.plugin if instance else None
    return PluginStatus(
        name=loaded.name,
        plugin=plugin.name if plugin else loaded.plugin,
        version=plugin.version if plugin else "",
        state="disabled" if refused is None else "refused",
        last_error=f"{refused.path}: {refused.message}" if refused else "",
        last_hint=refused.hint if refused else "",
        outputs=_outputs(instance) if instance else (),
        directory=str(instance.directory) if instance else "",
        installed=loaded.settings.plugin or "",
    )


def _outputs(instance: Instance) -> tuple[PluginTag, ...]:
    return tuple(
        PluginTag(
            out.kind.value,
            out.target if out.kind is OutputKind.WRITE else f"{instance.name}/{out.name}",
            out.type.value,
            out.unit,
        )
        for out in instance.outputs
    )


def _ms(seconds: float) -> float:
    return 0.0 if math.isnan(seconds) else seconds * 1e3
