"""One device table becomes settings, schemas and stages, through the driver that it names.

Owns what all drivers have in common: tag lists, groups, modes, stages. Must not know any driver by
name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay.columnar import encode_schema
from forebay.config.adapters import chosen, validated
from forebay.config.faults import dotted, meant, printable, shown
from forebay.config.named import rooted
from forebay.config.taglist import TagList, read_csv, read_tables
from forebay.errors import Fault
from forebay.interfaces import DeviceSpec
from forebay.model import Schema
from forebay.registry import DRIVERS, STAGES
from forebay.settings import group_class

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from forebay.config.faults import Where
    from forebay.interfaces import DriverSpec, StageSpec
    from forebay.registry import Registry
    from forebay.settings import DeviceSettings, GroupSettings, StageSettings, TagSettings

DEFAULT_GROUP = "default"
MAX_STAGES = 16
MAX_SCHEMA_BYTES = 8 << 20
"""Of one group's tag list as the journal keeps it; half of what a record may hold."""


class LoadedStage(NamedTuple):
    """One stage of a device, ready to be built: `spec.build(settings)`."""

    spec: StageSpec
    settings: StageSettings


@dataclass(frozen=True, slots=True)
class Device:
    """One device, ready to be built: `driver.build(spec, seams)`.

    `spec.schemas` has one schema for each group that has tags, in the order of the tag list,
    and `spec.settings.groups` has an entry with a mode that the driver offers for each of them.
    """

    spec: DeviceSpec
    driver: DriverSpec
    stages: tuple[LoadedStage, ...]


def load_device(
    name: str,
    table: Mapping[str, Any],
    places: tuple[Path, Path],
    registry: Registry,
    faults: list[Fault],
    aside: list[Fault] | None = None,
) -> Device | None:
    """Give the device of `[devices.NAME]`; None, and the reasons in `faults`, if it cannot be had.

    `places` are the directory at which relative paths begin, and that of the state. With `aside`,
    tags that cannot be had are left out, and the reasons go there.
    """
    base, state = places
    where: Where = ("devices", name)
    known = len(faults)
    driver = chosen(table, "protocol", where, registry.driver, registry.names(DRIVERS), faults)
    if driver is None:
        return None
    settings = validated(driver.settings, table, where, faults)
    if settings is not None:
        settings = rooted(settings, base, where, faults if settings.enabled else [], ("tags",))
    tag_list = _tag_list(table.get("tags"), where, base, driver, patient=aside is not None)
    of_rows = aside is not None and tag_list.begun and tag_list.tags
    (aside if aside is not None and of_rows else faults).extend(tag_list.faults)
    stages = _stages(table.get("stages"), where, registry, faults)
    if settings is None:
        return None
    groups = _groups(settings, tag_list, where, driver, faults)
    ungrouped = list(_ungrouped(groups, tag_list, where))
    if aside is None:
        faults.extend([*_once(ungrouped), *_unwritable(tag_list, driver)])
    else:
        _leave_out([*ungrouped, *_unwritable(tag_list, driver)], tag_list, aside)
    schemas = _schemas(name, tag_list)
    faults.extend(_oversize(schemas, dotted((*where, "tags"))))
    if len(faults) > known:
        return None
    settings = settings.model_copy(update={"groups": groups})
    spec = DeviceSpec(name, settings, schemas, tag_list.tags, state / settings.protocol)
    found = list(driver.check(spec))
    if aside is not None and (bad := [fault for fault in found if fault.tag and fault.stops]):
        _leave_out(bad, tag_list, aside)
        spec = replace(spec, schemas=_schemas(name, tag_list), tags=tag_list.tags)
        found = list(driver.check(spec))
    if aside is not None and not tag_list.tags and table.get("tags"):
        found.append(
            Fault(dotted((*where, "tags")), "has no tag that can be had", "see the others")
        )
    faults.extend(found)
    return Device(spec, driver, stages)


def _leave_out(bad: Sequence[Fault], tag_list: TagList, aside: list[Fault]) -> None:
    """Do without the tags that `bad` names."""
    aside.extend(bad)
    for fault in bad:
        tag_list.leave_out(fault.tag)


def _once(faults: Sequence[Fault]) -> list[Fault]:
    """Give of all that say the same of several tags only the first."""
    first: dict[str, Fault] = {}
    for fault in faults:
        first.setdefault(fault.message, fault)
    return list(first.values())


def _oversize(schemas: Sequence[Schema], place: str) -> Iterator[Fault]:
    """Find groups whose tag list no record of the journal could hold."""
    for schema in schemas:
        size = len(encode_schema(schema))
        if size > MAX_SCHEMA_BYTES:
            yield Fault(
                place,
                f"the tags of group {schema.group!r} take {size >> 20} MiB to describe, "
                f"more than {MAX_SCHEMA_BYTES >> 20} MiB",
                "spread them over several groups",
            )


def _unwritable(tag_list: TagList, driver: DriverSpec) -> Iterator[Fault]:
    """Find tags that are to be written over a protocol that cannot."""
    for tag in tag_list.tags.values():
        if tag.writable and not driver.writes:
            place = tag_list.place(tag.name, "access")
            message = f"{driver.protocol} cannot write"
            yield Fault(place, message, "leave it out", tag=tag.name)


def _tag_list(
    written: object, where: Where, base: Path, driver: DriverSpec, *, patient: bool
) -> TagList:
    """Read the tags even where the device's own keys are wrong, so that all faults come at once."""
    place = dotted((*where, "tags"))
    if isinstance(written, str):
        if not written.strip():
            return TagList("", faults=[Fault(place, "is empty", "name a CSV file")])
        name = printable(written)
        tags = read_csv(base / written, name, driver.tag, patient=patient)
        # What is wrong with the file as a whole belongs to the key that names it.
        tags.faults[:] = [
            Fault(place, f"{name} {fault.message}", fault.hint) if fault.path == name else fault
            for fault in tags.faults
        ]
        return tags
    if isinstance(written, list):
        return read_tables(written, place, driver.tag, patient=patient)
    return TagList(".")


def _stages(
    written: object, where: Where, registry: Registry, faults: list[Fault]
) -> tuple[LoadedStage, ...]:
    if not isinstance(written, list):
        return ()
    stages = []
    if len(written) > MAX_STAGES:
        place = dotted((*where, "stages"))
        faults.append(Fault(place, f"has more than {MAX_STAGES} stages", "remove some"))
    for number, table in enumerate(written[:MAX_STAGES]):
        if not isinstance(table, dict):
            continue
        here: Where = (*where, "stages", number)
        spec = chosen(table, "kind", here, registry.stage, registry.names(STAGES), faults)
        settings = validated(spec.settings, table, here, faults) if spec else None
        if spec and settings:
            stages.append(LoadedStage(spec, settings))
    return tuple(stages)


def _groups(
    settings: DeviceSettings,
    tag_list: TagList,
    where: Where,
    driver: DriverSpec,
    faults: list[Fault],
) -> dict[str, GroupSettings]:
    """Give every group with a mode that the driver offers: its usual one, unless it is told."""
    group_type = group_class(driver.settings)
    usual = group_type.model_fields["mode"].default
    if usual not in driver.modes:
        usual = min(driver.modes)
    groups: dict[str, GroupSettings] = {}
    for name, group in settings.groups.items():
        mode = group.mode if "mode" in group.model_fields_set else usual
        if mode not in driver.modes:
            place = dotted((*where, "groups", name, "mode"))
            message = f"{settings.protocol} cannot {mode}"
            faults.append(Fault(place, message, f'write mode = "{usual}", or leave it out'))
        groups[name] = group.model_copy(update={"mode": mode})
    if DEFAULT_GROUP not in groups and any(
        tag.group == DEFAULT_GROUP for tag in tag_list.tags.values()
    ):
        groups[DEFAULT_GROUP] = group_type.model_validate({"mode": usual})
    return groups


def _ungrouped(
    groups: Mapping[str, GroupSettings], tag_list: TagList, where: Where
) -> Iterator[Fault]:
    """Find tags of a group that there is not."""
    for tag in tag_list.tags.values():
        if tag.group in groups:
            continue
        table = dotted((*where, "groups", tag.group))
        hint = f"add the table [{table}], or write another group; {meant(tag.group, tuple(groups))}"
        place = tag_list.place(tag.name, "group")
        yield Fault(place, f"there is no group {shown(tag.group)}", hint, tag=tag.name)


def _schemas(name: str, tag_list: TagList) -> tuple[Schema, ...]:
    grouped: dict[str, list[TagSettings]] = {}
    for tag in tag_list.tags.values():
        if tag.readable:
            grouped.setdefault(tag.group, []).append(tag)
    return tuple(
        Schema(name, group, tuple(tag.to_tag() for tag in tags)) for group, tags in grouped.items()
    )
