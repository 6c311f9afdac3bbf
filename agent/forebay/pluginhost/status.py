"""How one plugin stands: what is counted, and what is shown.

Owns the counters and the picture of them. Must not know who counts.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.errors import PluginError
    from forebay.pluginhost.running import Running
    from forebay.pluginhost.seams import Input, Verdict
    from forebay.pluginhost.settings import Instance

LATENCIES = 1024
State = Literal["no-inputs", "starting", "running", "waiting", "stopped"]
"""`no-inputs`: no tag fits yet; `waiting`: for the next start after a failure."""


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """One plugin at one moment. Counters are of this run of the agent.

    `retry_in_s` is the time to the next start, while waiting. `sandbox` names what holds the
    process. `facts` are the plugin's own. `failures` counts ends of the process by kind, `refused`
    samples by reason. Latencies are of whole works, from being sent to their results, NaN before
    the first.
    """

    name: str
    plugin: str
    version: str
    state: State
    pid: int
    memory_bytes: int
    tasks: int
    starts: int
    circuit: str
    retry_in_s: float
    sandbox: tuple[str, ...]
    sdk: str
    detail: str
    facts: Mapping[str, str]
    inputs: tuple[Input, ...]
    works: int
    windows: int
    samples: int
    windows_failed: int
    windows_passed: int
    refused: Mapping[str, int]
    failures: Mapping[str, int]
    last_error: str
    last_hint: str
    last_failure: str
    p50_s: float
    p99_s: float
    log_lines_dropped: int


@dataclass(slots=True)
class Figures:
    """Counted since the start: what is told of a feed.

    `late` and `ahead` are samples (`windows.Windows.counts`); `skipped` records were passed over,
    because the plugin begins with the newest, they fill no window that fits into memory, or other
    inputs came before they filled one;
    `damaged` ones could not be decoded. `thinned` samples were gone before they were read. `gaps`
    works were given up. `writes` has the requests to the gate by outcome.
    """

    late: int = 0
    ahead: int = 0
    skipped: int = 0
    damaged: int = 0
    thinned: int = 0
    gaps: int = 0
    writes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Tally:
    """What one host counts."""

    starts: int = 0
    works: int = 0
    windows: int = 0
    samples: int = 0
    windows_failed: int = 0
    windows_passed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    last_error: str = ""
    last_hint: str = ""
    last_failure: str = ""
    took_s: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES))

    def done(self, windows: int, took_s: float, verdict: Verdict) -> tuple[str, ...]:
        """Count a work that is done; give the reasons of refusal that were never met before."""
        self.works += 1
        self.windows += windows
        self.samples += verdict.samples
        self.windows_failed += verdict.failed
        self.last_failure = verdict.failure or self.last_failure
        self.took_s.append(took_s)
        new = tuple(reason for reason in verdict.refused if reason not in self.refused)
        self.refused.update(verdict.refused)
        return new

    def failed(self, error: PluginError) -> None:
        """Count an end of the process."""
        self.failures[error.kind] += 1
        self.last_error, self.last_hint = str(error), error.hint

    def quantile_s(self, share: float) -> float:
        """Give the latency that `share` of the last works did not exceed."""
        ordered = sorted(self.took_s)
        if not ordered:
            return float("nan")
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def picture(
    instance: Instance,
    tally: Tally,
    running: Running | None,
    *,
    state: State,
    circuit: str,
    retry_in_s: float,
    held: tuple[str, ...],
    dropped: int,
) -> PluginStatus:
    """Put together what is shown of a plugin. `running` is its process, if there is one."""
    plugin = instance.manifest.plugin
    return PluginStatus(
        name=instance.name,
        plugin=plugin.name,
        version=plugin.version,
        state=state,
        pid=running.pid if running else 0,
        memory_bytes=running.usage.memory_bytes if running else 0,
        tasks=running.usage.tasks if running else 0,
        starts=tally.starts,
        circuit=circuit,
        retry_in_s=retry_in_s,
        sandbox=held,
        sdk=running.facts.sdk if running else "",
        detail=running.facts.detail if running else "",
        facts=running.facts.facts if running else {},
        inputs=running.inputs if running else (),
        works=tally.works,
        windows=tally.windows,
        samples=tally.samples,
        windows_failed=tally.windows_failed,
        windows_passed=tally.windows_passed,
        refused=dict(tally.refused),
        failures=dict(tally.failures),
        last_error=tally.last_error,
        last_hint=tally.last_hint,
        last_failure=tally.last_failure,
        p50_s=tally.quantile_s(0.5),
        p99_s=tally.quantile_s(0.99),
        log_lines_dropped=dropped,
    )
