"""`forebay plugins replay`: a plugin on data that is past, held against the results that stand.

Owns what is shown of a comparison. Must not know how segments are read or windows cut. It asks no
agent: it reads the configuration and the journal's files, which a running agent may go on writing.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from forebay.cli import call, output
from forebay.cli.check import load
from forebay.config import places
from forebay.errors import ConfigError, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from forebay.config.load import LoadedConfig
    from forebay.pluginhost.replay import Comparison, Difference, Past, Replayed, Sample
    from forebay.pluginhost.settings import Instance

SHOWN = 20

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of its table [plugins.NAME].")]
Segment = Annotated[
    str,
    typer.Option(
        "--from",
        help="File name of the first segment, as `forebay journal ls` shows it.",
        show_default=False,
    ),
]
Directory = Annotated[
    Path | None,
    typer.Option(
        "--directory",
        readable=False,
        help="Of the journal; else that of the configuration.",
        show_default=False,
    ),
]
Shown = Annotated[int, typer.Option("--shown", min=0, max=1_000, help="Most differences shown.")]


def add(group: typer.Typer) -> None:
    """Add the command to the group."""
    group.command("replay")(replay)


def replay(
    name: Name,
    segment: Segment,
    config: call.Config = places.CONFIG,
    directory: Directory = None,
    *,
    shown: Shown = SHOWN,
    as_json: call.Json = False,
) -> None:
    """Run a plugin on the journal's data from a segment on; 1 if it gives other results than stand.

    It begins with an empty state directory. Nothing goes into the journal or to a device.
    """
    with call.reporting(as_json=as_json):
        loaded = load(config)
        instance = _instance(loaded, name)
        past = _past(instance, directory or loaded.config.journal.directory, segment)
        found, told = asyncio.run(_run(instance, past))
        if as_json:
            output.document(_document(name, past, told, shown))
        else:
            output.show(parts(instance, past, found, told, shown))
    if past.standing and not told.same:
        raise typer.Exit(call.EXIT_FAILURE)


def _instance(loaded: LoadedConfig, name: str) -> Instance:
    known = {plugin.name: plugin for plugin in loaded.plugins}
    plugin = known.get(name)
    if plugin is None:
        raise RequestInvalid(
            f"there is no [plugins.{name}]", hint=f"known are: {', '.join(known) or 'none'}"
        )
    if plugin.instance is None:
        faults = [fault for fault in loaded.warnings if fault.path.startswith(f"plugins.{name}")]
        if faults:
            raise ConfigError(faults)
        raise RequestInvalid(
            f"[plugins.{name}] is not enabled, and its plugin is not sound",
            hint="set enabled = true, then `forebay check`",
        )
    return plugin.instance


def _past(instance: Instance, directory: Path, name: str) -> Past:
    from forebay.files import SystemDisk
    from forebay.journal.offline import OfflineJournal
    from forebay.pluginhost.replay import Past, segment

    journal = OfflineJournal(directory, SystemDisk())
    first = segment(journal, Path(name).name)
    if first is None:
        raise RequestInvalid(
            f"there is no segment {Path(name).name!r} in {directory}",
            hint=f"they are listed by: forebay journal ls --directory {directory}",
        )
    past = Past(instance, journal, first)
    if not past.selection.inputs:
        raise RequestInvalid(
            f"no tag in the journal from there on fits the inputs of {instance.name}",
            hint="begin with an earlier segment, or change its inputs",
        )
    return past


async def _run(instance: Instance, past: Past) -> tuple[list[Replayed], Comparison]:
    """Run the plugin in a directory that is gone afterwards; give its results, and how they do."""
    from forebay.clock import SystemClock
    from forebay.pluginhost import means
    from forebay.pluginhost import replay as replays
    from forebay.pluginhost.logs import PluginLog
    from forebay.pluginhost.running import Ground

    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="forebay-replay-") as scratch:
        log = PluginLog(Path(scratch) / "log", instance.limits.log_lines_per_s, clock)
        ground = Ground(await means.probe(), Path(scratch) / "state", log, clock)
        found = [one async for one in replays.replay(instance, past, ground)]
        return found, await asyncio.to_thread(replays.compare, instance, past, found)


def _document(name: str, past: Past, told: Comparison, shown: int) -> dict[str, Any]:
    return {
        "plugin": name,
        "same": told.same,
        "standing": len(past.standing),
        "windows": told.windows,
        "failed": told.failed,
        "equal": told.equal,
        "different": told.different,
        "only_given": told.only_given,
        "only_standing": told.only_standing,
        "differences": [_plain(one) for one in told.differences[:shown]],
    }


def _plain(one: Difference) -> dict[str, Any]:
    return {
        "stream": one.place.stream.value,
        "output": one.place.output,
        "time_ns": one.place.time_ns,
        "standing": [_value(sample) for sample in one.standing],
        "given": [_value(sample) for sample in one.given],
    }


def _value(sample: Sample) -> Any:  # noqa: ANN401 - any value of a sample, as JSON can say it
    value = sample.value
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return str(value) if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN


def parts(
    instance: Instance, past: Past, found: list[Replayed], told: Comparison, shown: int
) -> Iterator[RenderableType]:
    """Give what a person sees."""
    yield Text.assemble(
        (instance.name, "bold"),
        f" ({instance.version}): {output.count(told.windows)} windows, ",
        (f"{output.count(told.failed)} failed", output.BAD if told.failed else ""),
    )
    for one in [one for one in found if one.failure][:1]:
        yield output.fault(f"window {one.window.number}", one.failure, "")
    if not past.standing:
        yield Text("no results of it stand there: there is nothing to compare with", output.ODD)
    elif told.same:
        yield Text(
            f"the same results as stand: {output.count(told.equal)}, bit for bit", output.GOOD
        )
    else:
        yield Text(
            f"{output.count(told.equal)} equal, {output.count(told.different)} different, "
            f"{output.count(told.only_standing)} only in the journal, "
            f"{output.count(told.only_given)} only given now",
            output.BAD,
        )
    if past.standing and told.differences and shown:
        yield output.table(
            ("=OUTPUT", "=TIME", "STANDS", "GIVEN NOW"),
            [
                (
                    one.place.output,
                    output.moment(one.place.time_ns),
                    _said(one.standing),
                    _said(one.given),
                )
                for one in told.differences[:shown]
            ],
        )


def _said(samples: tuple[Sample, ...]) -> str:
    return ", ".join("bad" if one.value is None else str(_value(one)) for one in samples) or "-"
