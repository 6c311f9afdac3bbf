"""Holds a pushed configuration against `limits.toml`.

Owns what of it a bound is about. Pure but for symbolic links, which are followed: a path is where
it leads.
"""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from forebay.config import places
from forebay.config.faults import dotted, printable, shown
from forebay.config.fields import format_size
from forebay.errors import Fault
from forebay.settings import IsDirectory, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from forebay.config.faults import Where
    from forebay.config.limits import Limits
    from forebay.config.load import LoadedConfig
    from forebay.writing.settings import WriteRule

_HINT = "ask who administers this box; only they can widen limits.toml"
DATA = "data"
"""Of the state directory, what pushed configurations may name directories below."""
_CLOSED = ("fleet", "slots", "config")
"""What of it holds keys and code of the agent: not even a listed directory opens these."""


def check_limits(
    loaded: LoadedConfig, limits: Limits, running: LoadedConfig | None = None
) -> list[Fault]:
    """Find what `loaded` wants beyond `limits`.

    Journal and control socket may stay where those of the `running` configuration are.
    """
    return [
        *_endpoints(loaded, limits),
        *_listeners(loaded, limits),
        *_paths(loaded, limits, running),
        *_plugins(loaded, limits),
        *_sizes(loaded, limits),
        *_writes(loaded, limits),
    ]


def _endpoints(loaded: LoadedConfig, limits: Limits) -> Iterator[Fault]:
    parts: list[tuple[Where, Callable[[Any], Sequence[str]] | None, BaseModel]] = [
        (("devices", d.spec.name), d.driver.reaches, d.spec.settings) for d in loaded.devices
    ]
    parts += [(("uplinks", u.name), u.spec.reaches, u.settings) for u in loaded.uplinks]
    if (otlp := loaded.config.metrics.otlp) is not None:
        parts.append((("metrics", "otlp"), lambda to: (to.address,), otlp))
    for where, reaches, settings in parts:
        if "*" in limits.endpoints:
            continue
        if reaches is None:
            message = "does not say what it connects to, and endpoints are limited"
            yield Fault(dotted(where), message, _HINT)
            continue
        for endpoint in reaches(settings):
            if not limits.reaches(endpoint):
                yield Fault(dotted(where), f"may not connect to {shown(endpoint)}", _HINT)


def _listeners(loaded: LoadedConfig, limits: Limits) -> Iterator[Fault]:
    metrics = loaded.config.metrics
    if metrics.enabled and not (limits.listen or is_loopback(metrics.listen)):
        yield Fault("metrics.listen", f"may not listen at {shown(metrics.listen)}", _HINT)


def _paths(loaded: LoadedConfig, limits: Limits, running: LoadedConfig | None) -> Iterator[Fault]:
    """Find paths that lead elsewhere than to the configuration's own files and what is allowed."""
    ground = _Ground(loaded, limits)
    parts: list[tuple[Where, BaseModel]] = [
        (("devices", d.spec.name), d.spec.settings) for d in loaded.devices
    ]
    parts += [
        (("devices", d.spec.name, "stages", at), stage.settings)
        for d in loaded.devices
        for at, stage in enumerate(d.stages)
    ]
    parts += [(("uplinks", u.name), u.settings) for u in loaded.uplinks]
    parts.append((("metrics",), loaded.config.metrics))
    for where, settings in parts:
        for place, path, directory in _named(settings, where):
            if not (ground.data(path) if directory else ground.file(path)):
                yield _elsewhere(place, path)
    for plugin in loaded.plugins:
        code, model = plugin.settings.path, plugin.settings.model
        if code is not None and not ground.listed(code):
            yield _elsewhere(dotted(("plugins", plugin.name, "path")), code)
        if model is not None and not (ground.data(model) or ground.of_state(model, "plugins")):
            yield _elsewhere(dotted(("plugins", plugin.name, "model")), model)
    kept = running.config if running is not None else None
    journal, socket = loaded.config.journal.directory, loaded.config.control.socket
    usual = ground.of_state(journal, "journal") or (kept and journal == kept.journal.directory)
    if not (usual or ground.data(journal)):
        yield _elsewhere("journal.directory", journal)
    usual = socket == places.SOCKET or (kept and socket == kept.control.socket)
    if not (usual or ground.data(socket)):
        yield _elsewhere("control.socket", socket)


class _Ground:
    """Where a pushed configuration may point to. Links are followed."""

    def __init__(self, loaded: LoadedConfig, limits: Limits) -> None:
        self._state = loaded.state.resolve()
        self._base = None if loaded.base is None else loaded.base.resolve()
        self._listed = [root.resolve() for root in limits.directories]

    def of_state(self, path: Path, part: str) -> bool:
        """Whether it is `part` of the state directory, or below."""
        return path.resolve().is_relative_to(self._state / part)

    def listed(self, path: Path) -> bool:
        """Whether it is in a directory that the limits name, and not where the agent's keys are."""
        there = path.resolve()
        closed = [self._state / part for part in _CLOSED]
        if any(there.is_relative_to(one) or one.is_relative_to(there) for one in closed):
            return False
        return any(there.is_relative_to(root) for root in self._listed)

    def data(self, path: Path) -> bool:
        """Whether it is a place for data, such as a directory that is watched or written to."""
        return self.of_state(path, DATA) or self.listed(path)

    def file(self, path: Path) -> bool:
        """Whether it is a file of the configuration itself, or in a directory that is listed."""
        own = self._base is not None and path.resolve().is_relative_to(self._base)
        return own or self.listed(path)


def _elsewhere(place: str, path: Path) -> Fault:
    name = printable(str(path))
    return Fault(place, f"{name} is no place that a pushed configuration may name", _HINT)


def _named(settings: BaseModel, where: Where) -> Iterator[tuple[str, Path, bool]]:
    """Give every path in `settings`: its place, itself, and whether it is a directory."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        here = (*where, name)
        if isinstance(value, BaseModel):
            yield from _named(value, here)
            continue
        marks = [mark for mark in field.metadata if isinstance(mark, IsDirectory)]
        if any(mark.in_state for mark in marks):
            continue  # the agent's own, whatever it is called
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path):
                yield dotted(here), path, bool(marks)


def _plugins(loaded: LoadedConfig, limits: Limits) -> Iterator[Fault]:
    """Find plugins by a name that is not allowed; those by path are code, and told by `_paths`."""
    for plugin in loaded.plugins:
        name = plugin.settings.plugin
        if name is not None and not any(fnmatchcase(name, known) for known in limits.plugins):
            yield Fault(dotted(("plugins", plugin.name)), f"{shown(name)} may not run", _HINT)


def _sizes(loaded: LoadedConfig, limits: Limits) -> Iterator[Fault]:
    journal, most = loaded.config.journal, limits.journal_size
    if most is not None and (journal.max_size is None or journal.max_size > most):
        yield Fault(
            "journal.max_size", f"may be at most {format_size(most)}", f"write no more; {_HINT}"
        )
    if limits.memory is not None and journal.memory > limits.memory:
        message = f"is more than all that the agent may take, {format_size(limits.memory)}"
        yield Fault("journal.memory", message, _HINT)


def _writes(loaded: LoadedConfig, limits: Limits) -> Iterator[Fault]:
    """Find rules of `[writes]` that allow more than the bounds do."""
    writes = loaded.config.writes
    if not writes.enabled:
        return
    if not limits.writes.enabled:
        yield Fault("writes.enabled", "a pushed configuration may not allow writes", _HINT)
        return
    for number, rule in enumerate(writes.allow):
        place = dotted(("writes", "allow", number))
        for method in rule.methods:
            if not _method_allowed(method, rule, limits.writes.allow):
                yield Fault(place, f"may not allow to call {shown(method)}", _HINT)
        for device in loaded.devices:
            for tag in device.spec.tags.values():
                if tag.writable and rule.names(device.spec.name, tag.name, method=False):
                    target = f"{device.spec.name}/{tag.name}"
                    named = [
                        bound
                        for bound in limits.writes.allow
                        if bound.names(device.spec.name, tag.name, method=False)
                    ]
                    why = _wider(rule, named)
                    if why:
                        yield Fault(place, f"{why} {shown(target)}", _HINT)


def _method_allowed(pattern: str, rule: WriteRule, bounds: Sequence[WriteRule]) -> bool:
    """Whether a bound names all that `pattern` does; one with wild cards only if it is the same."""
    exact = not set(pattern) & set("*?[")
    named = [
        bound
        for bound in bounds
        if pattern in bound.methods
        or (exact and any(fnmatchcase(pattern, p) for p in bound.methods))
    ]
    return not _wider(rule, named)


def _wider(rule: WriteRule, named: Sequence[WriteRule]) -> str:
    """Say in what `rule` allows more than the bounds that name the same; empty if in nothing."""
    for caller in rule.by:
        if not any(_covers(bound, caller) for bound in named):
            return f"may not allow {caller} to change"
        for bound in named:
            if not (_covers(bound, caller) or _is_of(bound, caller)):
                continue
            if not _within_values(rule, bound):
                return "allows more values than it may for"
            if not _as_slow(rule, bound):
                return "allows a higher rate than it may for"
    return ""


def _covers(bound: WriteRule, caller: str) -> bool:
    """Whether `bound` is about all who are meant by `caller`."""
    if caller in bound.by:
        return True
    kind = caller.partition(":")[0]
    return (kind == "uid" and "operator" in bound.by) or (
        kind in {"plugin", "fleet"} and f"{kind}:*" in bound.by
    )


def _is_of(bound: WriteRule, caller: str) -> bool:
    """Whether `bound` is about some of those who are meant by `caller`."""
    kind = {"operator": "uid:", "plugin:*": "plugin:", "fleet:*": "fleet:"}.get(caller)
    return kind is not None and any(one.startswith(kind) for one in bound.by)


def _within_values(rule: WriteRule, bound: WriteRule) -> bool:
    """Whether every value that `rule` lets out keeps `bound`."""
    if rule.values:
        return all(_keeps(value, bound) for value in rule.values if _keeps_range(value, rule))
    if bound.values:
        return False
    low = bound.min is None or (rule.min is not None and rule.min >= bound.min)
    high = bound.max is None or (rule.max is not None and rule.max <= bound.max)
    return low and high


def _keeps(value: object, bound: WriteRule) -> bool:
    choices = [choice for choice in bound.values if choice == value]
    same = any(isinstance(choice, bool) == isinstance(value, bool) for choice in choices)
    return (same or not bound.values) and _keeps_range(value, bound)


def _keeps_range(value: object, bound: WriteRule) -> bool:
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float)):
        return True
    return (bound.min is None or value >= bound.min) and (bound.max is None or value <= bound.max)


def _as_slow(rule: WriteRule, bound: WriteRule) -> bool:
    """Whether `rule` lets out no more than `bound`, in any span of time."""
    mine, most = rule.frequency, bound.frequency
    return mine.times * math.ceil(most.seconds / mine.seconds) <= most.times
