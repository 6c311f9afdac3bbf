"""The form in which a fleet server is told a value: ShadowValue of fleet.proto. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay._proto import fleet_pb2 as pb

if TYPE_CHECKING:
    from forebay.model import Sample

MAX_TEXT_BYTES = 256
"""A longer text is cut, at a character."""


def told(device: str, sample: Sample) -> pb.ShadowValue:
    """Give the last sample of a tag of `device`."""
    made = pb.ShadowValue(
        device=device,
        tag=sample.tag.name,
        quality=sample.quality,
        time_ns=sample.time_ns,
        received_ns=sample.received_ns,
        unit=sample.tag.unit,
    )
    value = sample.value
    if isinstance(value, bool):
        made.bool_value = value
    elif isinstance(value, int):
        if value < 0:
            made.int_value = value
        else:
            made.uint_value = value
    elif isinstance(value, float):
        made.double_value = value
    elif isinstance(value, str):
        made.string_value = value.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
    return made
