"""What a running agent tells of its plugins.

Owns the questions (`PluginsView`) and the answers' shapes, which mirror control.proto as those of
`view` do. Must not know how plugins are run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class PluginFact:
    """One thing that a plugin says of itself, such as its model."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class PluginTag:
    """One tag that a plugin takes or gives.

    `role` is an input's role or an output's kind; `tag` is DEVICE/TAG, of a write the one that it
    asks for.
    """

    role: str
    tag: str
    type: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class PluginRefusal:
    """How many samples of a plugin's results were not taken for one reason."""

    reason: str
    samples: int


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """One plugin and its process.

    `state` is disabled, refused (its files or its table are wrong), no-inputs (no tag fits),
    starting, running, waiting (until it is started again, `next_try_s` from now) or stopped.
    `installed` is the installed plugin that it is, empty if it runs from a path. `sandbox` says in
    words what holds the process. `lag_s` is the age of the oldest data that it has not worked on.
    `windows_failed` are those of which the plugin said that it could not, `windows_passed` those
    given up, behind a gap; `records_skipped` were passed over: it begins with the newest, or they
    were in no window yet when its inputs changed (behind a gap).
    `took_*_ms` are from sending a work until its results are there.
    """

    name: str
    plugin: str
    version: str
    state: str
    sandbox: tuple[str, ...] = ()
    windows: int = 0
    windows_per_s: float = 0.0
    lag_s: float = 0.0
    restarts: int = 0
    last_error: str = ""
    last_hint: str = ""
    next_try_s: float = 0.0
    samples: int = 0
    samples_refused: int = 0
    windows_failed: int = 0
    windows_passed: int = 0
    records_skipped: int = 0
    took_p50_ms: float = 0.0
    took_p99_ms: float = 0.0
    pid: int = 0
    sdk: str = ""
    detail: str = ""
    facts: tuple[PluginFact, ...] = ()
    inputs: tuple[PluginTag, ...] = ()
    outputs: tuple[PluginTag, ...] = ()
    refused: tuple[PluginRefusal, ...] = ()
    directory: str = ""
    installed: str = ""
    memory_bytes: int = 0
    tasks: int = 0


@dataclass(frozen=True, slots=True)
class PluginLogLine:
    """One line that a plugin printed; `number` counts from 1 since the start of the agent.

    `text` begins with its time, UTC, and the id of the process.
    """

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class PluginDone:
    """What became of a wish: names of `[plugins.NAME]`, and `NAME: reason` where it failed."""

    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class PluginsView(Protocol):
    """The plugins of a running agent; called as `AgentView` is. RequestInvalid: no such plugin."""

    @property
    def state(self) -> str:
        """Give the agent's directory of all that is kept."""
        ...

    def statuses(self) -> Iterable[PluginStatus]:
        """Give every configured plugin, disabled ones too, in the order of the configuration."""
        ...

    def log(self, name: str, after: int, limit: int) -> Sequence[PluginLogLine]:
        """Give the newest lines that `name` printed, at most `limit`, with numbers above `after`.

        Only the last few hundred are kept.
        """
        ...

    async def restart(self, name: str) -> PluginDone:
        """End the process of `name`, and start it anew at once, whatever it did before."""
        ...

    async def refresh(self, plugin: str) -> PluginDone:
        """Take up the version of the installed `plugin` that is current now, wherever it runs.

        One that does not get ready changes nothing: the one before goes on.
        """
        ...
