"""What commands have a device do: the messages of a write and a call, and back.

Owns that translation. Must not know the gate's reasons, nor sockets.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from forebay._proto import control_pb2 as pb
from forebay.errors import RequestInvalid
from forebay.model import Outcome
from forebay.writing.rules import Action, Ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.control.view import WriteGate
    from forebay.interfaces import Value
    from forebay.writing.gate import Result

_INT64_MAX = (1 << 63) - 1
_OUTCOMES: Mapping[Outcome, pb.WriteOutcome] = MappingProxyType(
    {Outcome.GOOD: pb.GOOD, Outcome.REFUSED: pb.REFUSED, Outcome.UNKNOWN: pb.UNKNOWN}
)


class Operating:
    """One method for each question that reaches a device through the gate."""

    def __init__(self, gate: WriteGate) -> None:
        self._gate = gate

    async def write(self, request: pb.WriteRequest, who: str) -> pb.WriteReply:
        """Have a tag written for `who`."""
        device, _, tag = request.tag.partition("/")
        ask = Ask(
            Action.WRITE, device, tag, (value_of(request.value),), request.id, who, request.reason
        )
        return _reply(await self._gate.ask(ask, request.deadline_s))

    async def call(self, request: pb.CallRequest, who: str) -> pb.WriteReply:
        """Have a method called for `who`."""
        values = tuple(value_of(value) for value in request.arguments)
        ask = Ask(
            Action.CALL, request.device, request.method, values, request.id, who, request.reason
        )
        return _reply(await self._gate.ask(ask, request.deadline_s))


def value_of(message: pb.Value) -> Value:
    """Give the value; RequestInvalid if there is none."""
    which = message.WhichOneof("value")
    if which is None:
        raise RequestInvalid("there is no value", hint="name the value to write")
    value: Value = getattr(message, which)
    return value


def value_message(value: Value) -> pb.Value:
    """Give a value in the field of its type; ValueError for an integer of more than 64 bits."""
    match value:
        case bool():
            return pb.Value(bool_value=value)
        case int() if value > _INT64_MAX:
            return pb.Value(uint_value=value)
        case int():
            return pb.Value(int_value=value)
        case float():
            return pb.Value(double_value=value)
        case str():
            return pb.Value(string_value=value)


def _reply(result: Result) -> pb.WriteReply:
    back = result.read_back
    return pb.WriteReply(
        id=result.id,
        outcome=_OUTCOMES[result.outcome],
        detail=result.detail,
        hint=result.hint,
        read_back=None if back is None else value_message(back),
        outputs=[value_message(output) for output in result.outputs],
        took_ms=result.took_ms,
    )
