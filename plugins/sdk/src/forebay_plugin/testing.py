"""Try a plugin on frames of arrays: in this process with `run`, or as its real process.

    from forebay_plugin.testing import Frame, run

    frame = Frame.sampled({"pump/Temp": temperatures}, rate_hz=10)
    ran = run(Score, "plugins/score", [frame])
    assert ran["score"].values[-1] > 0.9

The data go through the same messages as in a factory, and the results through the same checks, so
what passes here is what the gateway takes.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay_plugin import frames as framing
from forebay_plugin import wire
from forebay_plugin._proto import plugin_pb2
from forebay_plugin.checking import Samples, Taken, joined, take
from forebay_plugin.frames import Frame
from forebay_plugin.hosting import HostError, PluginProcess
from forebay_plugin.manifest import Manifest, ManifestError, load
from forebay_plugin.serving import worked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay_plugin.plugin import Plugin

__all__ = [
    "Frame",
    "HostError",
    "Manifest",
    "ManifestError",
    "Ran",
    "Samples",
    "run",
    "run_process",
]

RESULTS_BYTES_MAX = 16 * 1024 * 1024
WAIT_LEAST_S = 60.0
"""A test judges what comes and not when: the machine may be busy. The conformance run does that."""


@dataclass(frozen=True)
class Ran:
    """What a plugin gave for all windows.

    Attributes:
        windows: how many it was asked about.
        outputs: output -> its samples, also of outputs that gave none.
        failures: (number of the window from 1, why), in order.
        refused: samples that the gateway would refuse or make bad, by reason.
        facts: what `setup` gave.
    """

    windows: int
    outputs: Mapping[str, Samples]
    failures: Sequence[tuple[int, str]] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, output: str) -> Samples:
        return self.outputs[output]


def run(  # noqa: PLR0913 - a keyword for each thing that a configuration may say
    plugin: type[Plugin],
    manifest: str | Path | Manifest,
    data: Sequence[Frame],
    *,
    settings: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Sequence[str]] | None = None,
    window: Mapping[str, Any] | None = None,
    state: Path | None = None,
    model: Path | None = None,
    replay: bool = False,
) -> Ran:
    """Run a plugin's class here on all windows of `data`; exceptions of `setup` come out.

    `settings`, `inputs` and `window` lie over the manifest as `[plugins.NAME]` does. `state` is
    kept: run twice with the same directory to see a restart. `replay` is told to `setup`.

    Raises:
        ManifestError: the manifest is none, or the data do not fit it.
        AssertionError: an answer breaks the protocol.
    """
    chosen = _manifest(manifest).with_(settings, inputs, window)
    columns = framing.columns_of(chosen, data)
    with tempfile.TemporaryDirectory(prefix="forebay-state-") as folder:
        message = setup_message(chosen, columns, state or Path(folder), model)
        message.replay = replay
        setup = wire.to_setup(message)
        one = plugin()
        facts = one.setup(setup) or {}
        taken, count = Taken(), 0
        try:
            for work in framing.works(chosen, data, columns):
                sent = plugin_pb2.Work.FromString(work.SerializeToString())
                windows = wire.to_windows(sent, setup.inputs)
                results = worked(one, windows, setup).message(work.id, setup.max_message_bytes)
                take(results, work, chosen.outputs, taken)
                count += len(windows)
        finally:
            one.close()
    return _ran(chosen, taken, count, facts)


def run_process(
    manifest: str | Path | Manifest,
    data: Sequence[Frame],
    *,
    settings: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Sequence[str]] | None = None,
    window: Mapping[str, Any] | None = None,
    model: Path | None = None,
) -> Ran:
    """Run the manifest's command as a process, in any language, on all windows of `data`.

    Raises:
        HostError: it did not start, attach, answer or end in time; with what it wrote.
        ManifestError: the manifest is none, or the data do not fit it.
        AssertionError: an answer breaks the protocol.
    """
    chosen = _manifest(manifest).with_(settings, inputs, window)
    columns = framing.columns_of(chosen, data)
    taken, count = Taken(), 0
    wait_s = max(chosen.deadline_s, WAIT_LEAST_S)
    with PluginProcess(chosen.command_line(), chosen.directory) as process:
        message = setup_message(chosen, columns, process.state, model)
        ready = process.attach(message, max(chosen.start_timeout_s, WAIT_LEAST_S))
        for work in framing.works(chosen, data, columns):
            take(process.ask(work, wait_s), work, chosen.outputs, taken)
            count += len(work.windows.begin_ns) // 8
        code = process.stop(wait_s)
        if code:
            raise HostError(f"ended with {code}:\n{process.log}")
    return _ran(chosen, taken, count, dict(ready.facts))


def setup_message(
    manifest: Manifest,
    columns: Sequence[framing.Column],
    state: Path,
    model: Path | None,
) -> plugin_pb2.Setup:
    """The `Setup` that the gateway would send for this manifest and these columns."""
    own = manifest.directory / "model"
    chosen = model or (own if own.is_dir() else None)
    return plugin_pb2.Setup(
        plugin=manifest.name,
        settings_json=json.dumps(dict(manifest.settings)),
        inputs=[
            plugin_pb2.Input(
                role=column.source.role,
                tag=column.source.tag,
                type=column.source.type.name,
                unit=column.source.unit,
            )
            for column in columns
        ],
        outputs=[
            plugin_pb2.Output(
                name=declared.output.name,
                kind=f"OUTPUT_{declared.output.kind.name}",
                type=declared.output.type.name,
                unit=declared.output.unit,
            )
            for declared in manifest.outputs
        ],
        deadline_ms=round(manifest.deadline_s * 1000),
        max_message_bytes=RESULTS_BYTES_MAX,
        state_directory=str(state),
        model_directory=str(chosen.resolve()) if chosen else "",
    )


def _manifest(given: str | Path | Manifest) -> Manifest:
    return given if isinstance(given, Manifest) else load(given)


def _ran(manifest: Manifest, taken: Taken, count: int, facts: Mapping[str, str]) -> Ran:
    names = [declared.output.name for declared in manifest.outputs]
    return Ran(
        windows=count,
        outputs={name: joined(taken.samples.get(name, [])) for name in names},
        failures=taken.failures,
        refused=+Counter(taken.refused),
        facts=facts,
    )
