"""Plugins of set words, for tests of the control server, its client and the commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forebay.control.pluginview import (
    PluginDone,
    PluginFact,
    PluginLogLine,
    PluginRefusal,
    PluginStatus,
    PluginTag,
)
from forebay.errors import RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNNING = PluginStatus(
    name="pump-anomaly",
    plugin="anomaly",
    version="0.1.0",
    state="running",
    sandbox=("bubblewrap", "own user", "rlimits", "nice", "memory and processes watched"),
    windows=864_000,
    windows_per_s=10.04,
    lag_s=0.35,
    restarts=2,
    last_error="its process was killed (SIGKILL): by the kernel for want of memory, or by hand",
    last_hint="see `forebay plugins logs pump-anomaly`",
    samples=1_728_000,
    samples_refused=17,
    windows_failed=3,
    windows_passed=1,
    records_skipped=4_096,
    took_p50_ms=1.8234,
    took_p99_ms=4.511,
    pid=4711,
    sdk="forebay-plugin 0.1.0",
    detail="ready with a forest of 100 trees",
    facts=(PluginFact("model", "pump 3"), PluginFact("threshold", "0.62")),
    inputs=(
        PluginTag("values", "pump/Temperature", "float64", "degC"),
        PluginTag("values", "pump/Pressure", "float64", "bar"),
    ),
    outputs=(
        PluginTag("tag", "pump-anomaly/score", "float64"),
        PluginTag("event", "pump-anomaly/told", "string"),
        PluginTag("write", "press/Interlock", "bool"),
    ),
    refused=(PluginRefusal("not finite", 12), PluginRefusal("quota", 5)),
    directory="/var/lib/forebay/plugins/installed/anomaly/0.1.0",
    installed="anomaly",
    memory_bytes=88 << 20,
    tasks=5,
)
WAITING = PluginStatus(
    name="vision",
    plugin="vision",
    version="1.4.0",
    state="waiting",
    sandbox=("rlimits", "nice", "memory and processes watched"),
    lag_s=7_260.0,
    restarts=5,
    last_error="its process ended with status 1: ModuleNotFoundError: No module named 'PIL'",
    last_hint="see `forebay plugins logs vision`",
    next_try_s=38.0,
)
REFUSED = PluginStatus(
    name="wear",
    plugin="wear",
    version="",
    state="refused",
    last_error="plugins.wear.plugin: wear is not installed",
    last_hint="forebay plugins install PATH; installed are: anomaly, vision",
    installed="wear",
)
DISABLED = PluginStatus(name="twin", plugin="twin", version="0.1.0", state="disabled")


@dataclass
class ScriptedPlugins:
    """Implements `forebay.control.pluginview.PluginsView`; `asked` holds what was to be done.

    The wish to refresh `vision` fails.
    """

    state: str = "/var/lib/forebay"
    found: list[PluginStatus] = field(default_factory=lambda: [RUNNING, WAITING, REFUSED, DISABLED])
    lines: list[str] = field(
        default_factory=lambda: ["2026-11-22T08:00:00.000+00:00 4711 ready", "2 4711 score \x1b[2J"]
    )
    asked: list[tuple[str, str]] = field(default_factory=list)

    def statuses(self) -> Sequence[PluginStatus]:
        return self.found

    def log(self, name: str, after: int, limit: int) -> Sequence[PluginLogLine]:
        if name != RUNNING.name:
            raise RequestInvalid(f"there is no plugin {name!r}", hint="`forebay plugins ls`")
        numbered = [PluginLogLine(at + 1, text) for at, text in enumerate(self.lines)]
        return [line for line in numbered if line.number > after][-limit:]

    async def restart(self, name: str) -> PluginDone:
        self.asked.append(("restart", name))
        return PluginDone((name,))

    async def refresh(self, plugin: str) -> PluginDone:
        self.asked.append(("refresh", plugin))
        failed = (f"{plugin}: was not ready within 30 s",) if plugin == "vision" else ()
        return PluginDone(() if failed else (f"pump-{plugin}",), failed)
