"""`forebay events`: what happened, out of the journal. `forebay trace`: the way of one value."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from forebay.cli import call, output
from forebay.cli.journal_export import when
from forebay.cli.journal_offline import Directory, directory_of
from forebay.cli.tags import text_of
from forebay.errors import RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from forebay.journal.export import Choice
    from forebay.journal.happenings import Happening
    from forebay.journal.offline import OfflineJournal
    from forebay.journal.tracing import Consumer, Trace
    from forebay.model import Anchor, Position, Stream

FOLLOW_S = 1.0
KINDS = ("event", "deed", "gap")

Last = Annotated[int, typer.Option("--last", min=1, max=100_000, help="Most that are shown.")]
Since = Annotated[
    str,
    typer.Option(
        "--since", help="From when on: ISO 8601, or a duration before now.", show_default=False
    ),
]
Kind = Annotated[
    str,
    typer.Option(
        "--kind",
        help="event (of a device or a plugin), deed (what somebody had done) or gap.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option("--device", help="Shell pattern on the device.")]
Follow = Annotated[bool, typer.Option("--follow", help="Go on as they come, until Ctrl-C.")]
Name = Annotated[str, typer.Argument(metavar="DEVICE/TAG", help="The tag.", show_default=False)]
At = Annotated[
    str,
    typer.Option(
        "--at", help="The last value up to then: ISO 8601, or a duration.", show_default=False
    ),
]


def add(app: typer.Typer, name: str) -> None:
    """Add the command `name`, which is `events` or `trace`, to `app`."""
    app.command(name)(events if name == "events" else trace)


def events(
    directory: Directory = None,
    last: Last = 50,
    begin: Since = "",
    kind: Kind = "",
    device: Device = "*",
    socket: call.Socket = call.SOCKET,
    *,
    follow: Follow = False,
    as_json: call.Json = False,
) -> None:
    """Show what happened: events of devices, writes and other deeds, what is missing and why."""
    where = directory_of(directory, socket, as_json=as_json)
    with call.reporting(as_json=as_json):
        from forebay.journal import export, happenings
        from forebay.model import Stream as Streams

        if kind and kind not in KINDS:
            raise RequestInvalid(f"there is no kind {kind!r}", hint=f"kinds: {', '.join(KINDS)}")
        choice = export.Choice(
            streams=happenings.STREAMS if kind in KINDS[:2] else tuple(Streams),
            begin_ns=when(begin, "--since") if begin else -export.FOREVER_NS,
            device=device,
        )

        journal = _opened(where)
        passed = happenings.ends(journal, choice) if follow else None
        found = happenings.newest(journal, choice, last, kind, passed)
        if as_json and not follow:
            output.document({"events": [document(one) for one in found]})
        else:
            _print(found, as_json=as_json)
            if not found and not as_json and not follow:
                print("nothing of the kind is in the journal")
        if passed is not None:
            _follow(where, choice, passed, kind, as_json=as_json)


def _follow(
    where: Path, choice: Choice, passed: dict[Stream, Position], kind: str, *, as_json: bool
) -> None:
    """Print what comes behind the positions that have passed, until Ctrl-C."""
    from forebay.journal import happenings

    try:
        while True:
            time.sleep(FOLLOW_S)
            fresh, passed = happenings.since(_opened(where), choice, passed)
            _print([one for one in fresh if kind in ("", one.kind)], as_json=as_json)
    except KeyboardInterrupt:
        return


def trace(
    name: Name,
    directory: Directory = None,
    at: At = "",
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """Follow a tag's newest value: when it was read, where it lies, who has got it."""
    where = directory_of(directory, socket, as_json=as_json)
    with call.reporting(as_json=as_json):
        from forebay.journal import tracing

        device, slash, tag = name.partition("/")
        if not slash or not tag:
            raise RequestInvalid(f"{name!r} is not DEVICE/TAG", hint="`forebay tags` lists them")
        found = tracing.trace(_opened(where), device, tag, when(at, "--at") if at else None)
        if directory is None:
            found = tracing.by_now(found, _idle(socket))
        if as_json:
            output.document(traced(found))
        else:
            output.show(_way(found))


def _idle(socket: Path) -> frozenset[str]:
    """Give the uplinks for which nothing waits, as the running agent says; none if it does not."""
    from forebay.control.client import AgentClient
    from forebay.errors import ControlError

    with suppress(ControlError), AgentClient(socket.absolute()) as agent:
        return frozenset(one.name for one in agent.uplinks().uplinks if not one.pending_records)
    return frozenset()


def _opened(where: Path) -> OfflineJournal:
    from forebay.files import SystemDisk
    from forebay.journal.offline import OfflineJournal

    return OfflineJournal(where, SystemDisk())


# --- what happened --------------------------------------------------------------------------------


def document(one: Happening) -> dict[str, Any]:
    """Give a happening as JSON can say it."""
    return {
        "time_ns": one.time_ns,
        "kind": one.kind,
        "device": one.source,
        "stream": one.position.stream.value,
        "epoch": f"{one.position.epoch:016x}",
        "seq": one.position.seq,
        "text": sentence(one),
        "fields": {name: _plain(value) for name, value in one.fields.items()},
    }


def sentence(one: Happening) -> str:
    """Give a happening as a person reads it, in one line."""
    from forebay.writing.audit import TEXTS, Deed
    from forebay.writing.audit import sentence as of_deed

    fields = one.fields
    if one.kind == "gap":
        samples = fields["samples"]
        much = "nobody knows how much" if samples is None else output.counted(samples, "sample")
        return f"missing: {much} ({fields['cause']})"
    if one.kind == "deed" and "action" in fields:
        texts = [str(fields.get(name, "")) for name in TEXTS]
        return of_deed(Deed._make((*texts, float(fields.get("took_ms", 0.0)))))
    return " ".join(_of_event(fields))


def _of_event(fields: Mapping[str, Any]) -> Iterator[str]:
    if "severity" in fields:
        yield f"[{fields['severity']}]"
    state = [
        text
        for name, texts in (("active", ("over", "active")), ("acked", ("to be acknowledged", "")))
        if isinstance(fields.get(name), bool)
        for text in (texts[fields[name]],)
        if text
    ]
    yield str(fields.get("message") or fields.get("type") or "an event")
    about = [str(fields[name]) for name in ("source", "condition") if fields.get(name)]
    if about or state:
        yield f"({', '.join([*about, *state])})"
    if fields.get("refresh"):
        yield "as told again"


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


def _print(found: Sequence[Happening], *, as_json: bool) -> None:
    if as_json:
        for one in found:
            print(json.dumps(document(one), ensure_ascii=False))
    elif found:
        columns = ("TIME", "KIND", "DEVICE", "WHAT")
        rows = [
            (output.moment(o.time_ns), o.kind, o.source or "-", output.clean(sentence(o)))
            for o in found
        ]
        output.show([output.table(columns, rows)])
    sys.stdout.flush()


# --- the way of one value -------------------------------------------------------------------------


def traced(found: Trace) -> dict[str, Any]:
    """Give a trace as JSON can say it."""
    from forebay.model import quality_name

    sample, record, anchor = found.sample, found.record, found.anchor
    return {
        "device": sample.device,
        "group": sample.group,
        "tag": sample.tag.name,
        "address": sample.tag.address,
        "unit": sample.tag.unit,
        "value": _plain(sample.value),
        "quality": quality_name(sample.quality),
        "time_ns": sample.time_ns,
        "received_ns": sample.received_ns,
        "clock": None
        if anchor is None
        else {"state": anchor.state.name.lower(), "error_ns": anchor.error_ns},
        "record": {
            "id": _record(found),
            "segment": found.file,
            "samples": record.samples,
            "bytes": len(record.payload),
            "revision": record.revision,
            "sha256": record.hash.hex(),
        },
        "consumers": [
            {
                "name": one.name,
                "kind": "plugin" if one.plugin else "uplink",
                "state": one.state,
                "reached_epoch": f"{one.reached.epoch:016x}",
                "reached_seq": one.reached.seq,
            }
            for one in found.consumers
        ],
        "set_aside_for": list(found.aside),
    }


def _record(found: Trace) -> str:
    stream, epoch, seq = found.record.position
    return f"{stream.value}-{epoch:016x}-{seq:016x}"


def _way(found: Trace) -> Iterator[RenderableType]:
    from forebay.model import quality_name

    sample, record, anchor = found.sample, found.record, found.anchor
    tag = sample.tag
    value = "no value"
    if sample.value is not None:
        value = f"{text_of(_plain(sample.value), tag.type.value)} {tag.unit}".rstrip()
    lines = [
        ("value", f"{sample.device}/{tag.name} = {value}, {quality_name(sample.quality)}"),
        (
            "source",
            f"{output.moment(sample.time_ns)}, {tag.address or 'derived'} in {sample.group}",
        ),
        ("received", f"{output.duration((sample.received_ns - sample.time_ns) / 1e9)} later"),
        ("clock", _clock(anchor)),
        (
            "journal",
            _rests(found),
        ),
    ]
    if record.revision:
        lines.append(("thinned", f"{output.counted(record.revision, 'time')}: others of it went"))
    lines += [("plugin" if one.plugin else "uplink", _stands(one)) for one in found.consumers]
    if not found.consumers:
        lines.append(("uplink", "none has ever asked for it"))
    lines += [("aside", f"a copy is set aside for {uplink}") for uplink in found.aside]
    for label, text in lines:
        yield Text.assemble((f"{label:<9}", "dim"), output.clean(text))


def _rests(found: Trace) -> str:
    record = found.record
    among = (
        f"one of {output.counted(record.samples, 'sample')} in {output.size(len(record.payload))}"
    )
    return f"{_record(found)}, {among}, durable in {found.file}"


def _clock(anchor: Anchor | None) -> str:
    if anchor is None:
        return "nobody said how far the clock could be trusted"
    state = anchor.state.name.lower()
    return f"{state}, off by {anchor.error_ns / 1e6:,.1f} ms at most" if anchor.error_ns else state


def _stands(one: Consumer) -> str:
    done = "it is done with it" if one.plugin else "has it"
    if one.state == "has it":
        return f"{one.name}: {done}"
    if one.state == "refused it":
        return f"{one.name}: refused it; see `forebay journal quarantine ls`"
    reached = f"{one.reached.epoch:016x}-{one.reached.seq:016x}" if one.reached.epoch else "nothing"
    return f"{one.name}: not yet, when its place was last saved; it had {reached}"
