"""Holds the rules of `[writes]` against the devices that there are.

Owns what can be wrong between the two. Pure. Must not know how a write is decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.config.faults import dotted, shown
from forebay.errors import Fault
from forebay.model import ValueType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forebay.config.devices import Device
    from forebay.settings import TagSettings
    from forebay.writing.settings import WriteRule, WritesSettings


def check_writes(writes: WritesSettings, devices: Sequence[Device]) -> Iterator[Fault]:
    """Find rules that name nothing, or that do not suit what they name."""
    yield from check_names(writes, devices)
    yield from check_limits(writes, devices)


def check_names(writes: WritesSettings, devices: Sequence[Device]) -> Iterator[Fault]:
    """Find patterns of rules that name nothing that there is: they allow nothing."""
    for number, rule in enumerate(writes.allow):
        yield from _check_names(rule, number, devices)


def check_limits(writes: WritesSettings, devices: Sequence[Device]) -> Iterator[Fault]:
    """Find rules that do not suit the tags that they name, or that leave a number unlimited."""
    limited: dict[tuple[str, str], tuple[int, bool]] = {}
    for number, rule in enumerate(writes.allow):
        for device in devices:
            for tag in _named(rule, device):
                yield from _check_limits(rule, number, device.spec.name, tag)
                if tag.type not in (ValueType.BOOL, ValueType.STRING):
                    first, known = limited.get((device.spec.name, tag.name), (number, False))
                    both = rule.min is not None and rule.max is not None
                    known = known or both or bool(rule.values)
                    limited[device.spec.name, tag.name] = first, known
    for (device_name, tag_name), (number, known) in limited.items():
        if not known:
            yield Fault(
                _place(number),
                f"lets any number be written to {shown(f'{device_name}/{tag_name}')}",
                "write min and max, or values",
            )


def _check_names(rule: WriteRule, number: int, devices: Sequence[Device]) -> Iterator[Fault]:
    """Find patterns that name nothing that there is, or nothing that may be written."""
    for at, pattern in enumerate(rule.tags):
        one = rule.model_copy(update={"tags": (pattern,)})
        place = dotted(("writes", "allow", number, "tags", at))
        found = [
            tag
            for device in devices
            for tag in device.spec.tags.values()
            if one.names(device.spec.name, tag.name, method=False)
        ]
        if not found:
            yield Fault(
                place, f"{shown(pattern)} names no tag", "write DEVICE/TAG as the tag list has it"
            )
        elif not any(tag.writable for tag in found):
            hint = 'give the tag access = "read_write"'
            yield Fault(place, f"{shown(pattern)} names no tag that may be written", hint)
    known = {device.spec.name for device in devices}
    for at, pattern in enumerate(rule.methods):
        device_name = pattern.partition("/")[0]
        if device_name.isidentifier() and device_name not in known:
            place = dotted(("writes", "allow", number, "methods", at))
            hint = f"known are: {', '.join(sorted(known)) or 'none'}"
            yield Fault(place, f"there is no device {shown(device_name)}", hint)


def _check_limits(rule: WriteRule, number: int, device: str, tag: TagSettings) -> Iterator[Fault]:
    """Find limits that cannot hold for this tag's type."""
    target = shown(f"{device}/{tag.name}")
    textual = tag.type in (ValueType.BOOL, ValueType.STRING)
    if textual and (rule.min is not None or rule.max is not None):
        message = f"has min or max, but {target} is of type {tag.type}"
        yield Fault(_place(number), message, "write values, or leave the limits out")
    wanted = {ValueType.BOOL: bool, ValueType.STRING: str}.get(tag.type)
    for at, value in enumerate(rule.values):
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        if wanted is not None:
            fits = isinstance(value, wanted)
        if not fits:
            place = dotted(("writes", "allow", number, "values", at))
            hint = "write a value of its type, or name other tags"
            yield Fault(place, f"{shown(value)} cannot be in {target}, of type {tag.type}", hint)


def _named(rule: WriteRule, device: Device) -> list[TagSettings]:
    return [
        tag
        for tag in device.spec.tags.values()
        if tag.writable and rule.names(device.spec.name, tag.name, method=False)
    ]


def _place(number: int) -> str:
    return dotted(("writes", "allow", number))
