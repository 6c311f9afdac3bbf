"""Turns the view's dataclasses into messages of proto/forebay/v1/control.proto, by equal names.

Owns the one place where names differ: a tag's value, which is a oneof on the wire, and the name of
its quality, which only the wire carries. Must not know sockets.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from forebay._proto import control_pb2 as pb
from forebay.model import quality_name

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from forebay.control import view

M = TypeVar("M", bound="Message")

_INT64_MAX = (1 << 63) - 1


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def message(kind: type[M], data: Any) -> M:  # noqa: ANN401 - any dataclass of the view
    """Give `data` as a message of `kind`, field by field; tuples become repeated fields."""
    return kind(**{name: _field(getattr(data, name)) for name in _names(data.__class__)})


def _field(value: Any) -> Any:  # noqa: ANN401 - any type that a dataclass of the view holds
    if isinstance(value, tuple):
        return [_field(item) for item in value]
    if is_dataclass(value):
        return message(getattr(pb, value.__class__.__name__), value)
    return value


def tag_message(tag: view.TagValue) -> pb.TagValue:
    """Give one tag with its value in the field of its type, in none if there is no usable value."""
    reply = pb.TagValue(
        device=tag.device,
        name=tag.name,
        address=tag.address,
        type=tag.type,
        unit=tag.unit,
        group=tag.group,
        quality=tag.quality,
        quality_name=quality_name(tag.quality),
        time_ns=tag.time_ns,
        received_ns=tag.received_ns,
    )
    match tag.value:
        case None:
            pass
        case bool():
            reply.bool_value = tag.value
        case int() if tag.value > _INT64_MAX:
            reply.uint_value = tag.value
        case int():
            reply.int_value = tag.value
        case float():
            reply.double_value = tag.value
        case str():
            reply.string_value = tag.value
    return reply
