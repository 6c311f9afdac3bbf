"""`forebay write` and `forebay call`: the two commands that change something on a device."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from math import isfinite
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from forebay.cli import call as shared
from forebay.cli import output
from forebay.errors import AgentUnreachable, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from forebay._proto.control_pb2 import Value, WriteReply

_WHOLE = re.compile(r"[+-]?\d{1,20}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_INT64, _UINT64 = 1 << 63, 1 << 64
_GOOD, _UNKNOWN = 1, 3

Tag = Annotated[str, typer.Argument(metavar="DEVICE/TAG", help="The tag.", show_default=False)]
Word = Annotated[
    str,
    typer.Argument(
        metavar="VALUE",
        help="true, false, a number, or a text. As readers see it: scaled.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Argument(metavar="DEVICE", show_default=False)]
Method = Annotated[
    str,
    typer.Argument(
        metavar="METHOD", help="The method, as the device's protocol names it.", show_default=False
    ),
]
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="ARG", help="Its arguments, written as values.", show_default=False),
]
TextOnly = Annotated[bool, typer.Option("--text", help="Take true, false and numbers for texts.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit.")]
Id = Annotated[
    str,
    typer.Option("--id", help="Name of this request: the same id is let out once, however often."),
]
Deadline = Annotated[
    float,
    typer.Option(
        "--deadline",
        min=0.0,
        max=300.0,
        help="Seconds after which it no longer goes out; 0: as configured.",
    ),
]


def add(app: typer.Typer, name: str) -> None:
    """Add the command `name`, which is `write` or `call`, to `app`."""
    settings = {"ignore_unknown_options": True}  # or -5 would be one
    app.command(name, context_settings=settings)(write if name == "write" else call)


def write(
    tag: Tag,
    word: Word,
    socket: shared.Socket = shared.SOCKET,
    *,
    text: TextOnly = False,
    reason: Reason = "",
    request_id: Id = "",
    deadline: Deadline = 0.0,
    as_json: shared.Json = False,
) -> None:
    """Write one value to a device, once. Exit code 0 only if the device took it."""
    request_id = request_id or token_hex(8)
    with shared.agent(socket, as_json=as_json) as agent, _resumable(request_id):
        from forebay._proto.control_pb2 import WriteRequest

        request = WriteRequest(
            tag=tag,
            value=parsed(word, text=text),
            id=request_id,
            deadline_s=deadline,
            reason=reason,
        )
        _end(agent.write(request), tag, as_json=as_json)


def call(  # noqa: PLR0913 - one parameter an option
    device: Device,
    method: Method,
    words: Words = None,
    socket: shared.Socket = shared.SOCKET,
    *,
    text: TextOnly = False,
    reason: Reason = "",
    request_id: Id = "",
    deadline: Deadline = 0.0,
    as_json: shared.Json = False,
) -> None:
    """Call a method of a device, once. Exit code 0 only if the device did it."""
    request_id = request_id or token_hex(8)
    with shared.agent(socket, as_json=as_json) as agent, _resumable(request_id):
        from forebay._proto.control_pb2 import CallRequest

        request = CallRequest(
            device=device,
            method=method,
            arguments=[parsed(word, text=text) for word in words or ()],
            id=request_id,
            deadline_s=deadline,
            reason=reason,
        )
        _end(agent.call(request), f"{device}/{method}", as_json=as_json)


@contextmanager
def _resumable(request_id: str) -> Iterator[None]:
    """Where no answer comes, say how to hear of it: the same id is not let out again."""
    try:
        yield
    except AgentUnreachable as error:
        hint = f"it may have happened; ask again with --id {request_id}: it is let out once"
        raise AgentUnreachable(str(error), hint=hint) from error


def parsed(word: str, *, text: bool = False) -> Value:
    """Give a word of the command line as a value; RequestInvalid for a number that is none.

    `true` and `false` are bools, what looks like a number is one, all else is a text.
    """
    from forebay._proto.control_pb2 import Value

    if text:
        return Value(string_value=word)
    if word in ("true", "false"):
        return Value(bool_value=word == "true")
    if _WHOLE.fullmatch(word):
        number = int(word)
        if -_INT64 <= number < _INT64:
            return Value(int_value=number)
        if 0 <= number < _UINT64:
            return Value(uint_value=number)
    elif _NUMBER.fullmatch(word):
        if isfinite(float(word)):
            return Value(double_value=float(word))
    else:
        return Value(string_value=word)
    raise RequestInvalid(
        f"no device holds the number {word}", hint="write a smaller one, or --text for a text"
    )


def _end(reply: WriteReply, target: str, *, as_json: bool) -> None:
    """Say how it ended; the exit code is 0 only if it was done."""
    if as_json:
        output.document(_document(reply))
    else:
        output.show(parts(reply, target))
    if reply.outcome != _GOOD:
        if reply.hint and not as_json:
            print(f"  next: {output.clean(reply.hint)}", file=sys.stderr)
        raise typer.Exit(shared.EXIT_FAILURE)


def _document(reply: WriteReply) -> dict[str, object]:
    """Give a reply as its JSON: values are plain, and absent ones null."""
    from forebay._proto.control_pb2 import WriteOutcome

    return {
        "id": reply.id,
        "outcome": WriteOutcome.Name(reply.outcome).lower(),
        "detail": reply.detail,
        "hint": reply.hint,
        "read_back": _held(reply.read_back) if reply.HasField("read_back") else None,
        "outputs": [_held(value) for value in reply.outputs],
        "took_ms": reply.took_ms,
    }


def parts(reply: WriteReply, target: str) -> Iterator[RenderableType]:
    """Give what a person sees."""
    from forebay._proto.control_pb2 import WriteOutcome

    name = WriteOutcome.Name(reply.outcome)
    good, unknown = reply.outcome == _GOOD, reply.outcome == _UNKNOWN
    style = output.GOOD if good else output.ODD if unknown else output.BAD
    line = Text.assemble((name, style), f" {output.clean(target)}")
    if reply.HasField("read_back"):
        line.append(f" reads {_shown(reply.read_back)}")
    for output_value in reply.outputs:
        line.append(f" {_shown(output_value)}")
    if reply.detail:
        line.append(f": {output.clean(reply.detail)}")
    yield line
    took = f", {reply.took_ms:.1f} ms" if reply.took_ms else ""
    yield Text(f"id {output.clean(reply.id)}{took}", output.QUIET)


def _held(value: Value) -> bool | int | float | str:
    held: bool | int | float | str = getattr(value, value.WhichOneof("value") or "string_value")
    return held if not isinstance(held, float) or isfinite(held) else str(held)


def _shown(value: Value) -> str:
    held = _held(value)
    if isinstance(held, bool):
        return "true" if held else "false"
    return f"{held:.10g}" if isinstance(held, float) else output.clean(str(held))
