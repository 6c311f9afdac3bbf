"""`forebay tags` and `forebay read`: last values as the gateway holds them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from forebay.cli import call, output
from forebay.clock import SystemClock
from forebay.errors import RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

    from forebay._proto.control_pb2 import TagValue
    from forebay.control.client import AgentClient

_BAD_BIT = 1 << 31  # a StatusCode's severity Bad, OPC UA Part 4, 7.39
_MAX_TEXT = 40

Pattern = Annotated[
    str,
    typer.Argument(
        help="Shell pattern on DEVICE/TAG, or on the tag alone if it has no slash.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option("--device", help="Only this device's tags.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="Most tags shown.")]
Bad = Annotated[bool, typer.Option("--bad", help="Only tags without a usable value.")]
Names = Annotated[
    list[str], typer.Argument(metavar="DEVICE/TAG", help="The tags.", show_default=False)
]


def add(app: typer.Typer, name: str) -> None:
    """Add the command `name`, which is `tags` or `read`, to `app`."""
    app.command(name)(tags if name == "tags" else read)


def tags(
    pattern: Pattern = "",
    socket: call.Socket = call.SOCKET,
    *,
    device: Device = "",
    limit: Limit = 1_000,
    bad: Bad = False,
    as_json: call.Json = False,
    watch: call.Watch = False,
) -> None:
    """List tags with their last values."""
    wanted = pattern if "/" in pattern or not pattern else f"*/{pattern}"
    with call.agent(socket, as_json=as_json) as agent:
        if device and all(one.name != device for one in agent.devices().devices):
            raise RequestInvalid(
                f"there is no device {device!r}", hint="`forebay devices` lists them"
            )
        if as_json:
            found, matched = _collect(agent, device, wanted, limit, bad=bad)
            output.document({"tags": [output.plain(tag) for tag in found], "matched": matched})
        elif watch:
            output.watch(lambda: _listing(*_collect(agent, device, wanted, limit, bad=bad)))
        else:
            output.show(_listing(*_collect(agent, device, wanted, limit, bad=bad)))


def read(names: Names, socket: call.Socket = call.SOCKET, *, as_json: call.Json = False) -> None:
    """Show the last values of tags, written DEVICE/TAG. Asks no device."""
    with call.agent(socket, as_json=as_json) as agent:
        reply = agent.read(names)
        if as_json:
            output.document(output.plain(reply))
        elif reply.tags:
            output.show(parts(reply.tags, SystemClock().now_ns()))
        for name in reply.unknown:
            print(f"forebay: there is no tag {name!r}", file=sys.stderr)
        if reply.unknown:
            print("  next: `forebay tags` lists them", file=sys.stderr)
            raise typer.Exit(call.EXIT_INVALID)


def _collect(
    agent: AgentClient, device: str, pattern: str, limit: int, *, bad: bool
) -> tuple[list[TagValue], int]:
    """Give up to `limit` tags, and how many there are in all."""
    found: list[TagValue] = []
    matched = 0
    for page in agent.tags(device, pattern):
        fitting = [tag for tag in page.tags if not bad or tag.quality & _BAD_BIT]
        found += fitting
        matched = matched + len(fitting) if bad else page.matched
        if len(found) >= limit and not bad:
            break
    return found[:limit], matched


def _listing(found: list[TagValue], matched: int) -> Iterator[RenderableType]:
    if not found:
        yield Text("no tag matches")
        return
    yield from parts(found, SystemClock().now_ns())
    if matched > len(found):
        yield Text(
            f"{output.count(len(found))} of {output.count(matched)} tags; "
            "a pattern or --limit shows others",
            output.QUIET,
        )


def parts(found: Iterable[TagValue], now_ns: int) -> Iterator[RenderableType]:
    """Give what a person sees."""
    yield output.table(
        ("=TAG", ">VALUE", "UNIT", "=QUALITY", "AGE"),
        [
            (
                f"{tag.device}/{tag.name}",
                value_text(tag),
                tag.unit,
                Text(tag.quality_name, _quality_style(tag.quality)),
                output.age(tag.time_ns, now_ns),
            )
            for tag in found
        ],
    )


def value_text(tag: TagValue) -> str:
    """Give a tag's value as people read it, `-` for none."""
    which = tag.WhichOneof("value")
    return "-" if which is None else text_of(getattr(tag, which), tag.type)


def text_of(value: object, kind: str) -> str:
    """Give a value as people read it: floats of a float32 with its 7 digits, texts cut."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.7g}" if kind == "float32" else f"{value:.10g}"
    text = str(value)
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}\N{HORIZONTAL ELLIPSIS}"


def _quality_style(quality: int) -> str:
    if quality & _BAD_BIT:
        return output.BAD
    return output.ODD if quality >> 30 else ""
