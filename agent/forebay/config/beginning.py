"""Makes a first configuration of a tag list and a few answers: texts of files, nothing else.

Owns how what it writes looks. Must not know any protocol: what a driver wants to know is asked of
its settings and its tag class.

A tag list for this may have more than tags: `device` names the device of a row, and a column
`device.KEY` sets `KEY` of that device, once for all of its rows. What is left are columns of tags.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pydantic import ValidationError

from forebay.config.taglist import read_cells
from forebay.errors import ConfigError, Fault
from forebay.registry import DRIVERS
from forebay.settings import NAME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from forebay.interfaces import DriverSpec
    from forebay.registry import Registry

DEVICE = "device"
NO_ADDRESS = "\N{SNOWMAN} no address ?"
"""A driver that takes this for an address says nothing by taking another."""
MAX_DEVICES = 1_000
FLEET_PORT = 7443
Scalar: TypeAlias = "str | int | float | bool"
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class NewDevice(NamedTuple):
    """A device to be written: its settings, `protocol` among them, and its tags as cells."""

    name: str
    settings: dict[str, Scalar]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def devices_of(text: str, name: str, default: str) -> list[NewDevice]:
    """Take a tag list apart: its devices, in their order; rows that name none are of `default`.

    Raises ConfigError: no rows, no such name, one setting said twice.
    """
    header, rows = read_cells(text, name)
    if not rows:
        raise ConfigError([Fault(name, "has no tags", "add a line for each tag below the header")])
    tags = [n for n, column in enumerate(header) if column.partition(".")[0] != DEVICE]
    faults: list[Fault] = []
    settings: dict[str, dict[str, Scalar]] = {}
    cells_of: dict[str, list[tuple[str, ...]]] = {}
    for place, cells in rows:
        row = dict(zip(header, cells, strict=False))
        device = row.get(DEVICE) or default
        if not re.fullmatch(NAME_PATTERN, device):
            hint = "letters, digits, _ . -, 64 at most"
            faults.append(Fault(f"{place} {DEVICE}", f"{device!r} cannot be a name", hint))
            continue
        known = settings.setdefault(device, {})
        for column, cell in row.items():
            key = column.removeprefix(f"{DEVICE}.")
            if key != column and cell and known.setdefault(key, scalar(cell)) != scalar(cell):
                message = f"{device} has {known[key]!r} already"
                faults.append(Fault(f"{place} {column}", message, "one value for each device"))
        padded = [*cells, *[""] * (len(header) - len(cells))]
        kept = cells_of.setdefault(device, [])
        kept.append((*[padded[n] for n in tags], *padded[len(header) :]))
    if len(settings) > MAX_DEVICES:
        faults.append(Fault(name, f"has more than {MAX_DEVICES:,} devices", "make several boxes"))
    if faults:
        raise ConfigError(faults)
    columns = tuple(header[n] for n in tags)
    return [NewDevice(key, settings[key], columns, tuple(cells_of[key])) for key in settings]


def likely(registry: Registry, device: NewDevice) -> str:
    """Give the one protocol whose addresses these look like; empty: none, or more than one."""
    found = []
    for protocol in registry.names(DRIVERS):
        try:
            spec = registry.driver(protocol, protocol)
        except ConfigError:  # its library is not installed
            continue
        if _takes(spec, device) and not _takes(spec, _nowhere(device)):
            found.append(protocol)
    return found[0] if len(found) == 1 else ""


def _takes(spec: DriverSpec, device: NewDevice) -> bool:
    fields = spec.tag.model_fields
    for row in device.rows[:20]:
        cells = zip(device.columns, row, strict=False)
        try:
            spec.tag.model_validate({c: v for c, v in cells if v and c in fields})
        except ValidationError:
            return False
    return True


def _nowhere(device: NewDevice) -> NewDevice:
    """Give the device with addresses that are none."""
    rows = tuple(
        tuple(
            NO_ADDRESS if column == "address" else cell
            for column, cell in zip(device.columns, row, strict=False)
        )
        for row in device.rows
    )
    return device._replace(rows=rows)


def wanted(spec: DriverSpec, settings: Mapping[str, Scalar]) -> list[str]:
    """Give the settings that a device of this driver lacks and cannot do without."""
    fields = spec.settings.model_fields
    lacks = [
        key
        for key, field in fields.items()
        if field.is_required() and key not in {"protocol", "tags"} and key not in settings
    ]
    local = any(key.startswith("serial") for key in settings)
    if "host" in fields and "host" not in settings and "host" not in lacks and not local:
        lacks.append("host")
    return lacks


def scalar(text: str) -> Scalar:
    """Read a value as a person types it: a number or a truth if it is one, else the text."""
    try:
        found = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text
    return found if isinstance(found, str | int | float | bool) else text


def files(gateway: str, devices: Sequence[NewDevice], cloud: str) -> dict[str, str]:
    """Give the files by name: `forebay.toml`, and a tag list for each device.

    `cloud` is the fleet server, HOST or HOST:PORT; empty: readings stay in the journal.
    """
    found = {}
    lines = ["# Every key, with unit, bounds and default: docs/reference/config.md", ""]
    lines += _table("gateway", {"id": gateway})
    for device in devices:
        path = f"{device.name}.csv"
        found[path] = _csv([device.columns, *device.rows])
        lines += _table(f"devices.{_key(device.name)}", {**device.settings, "tags": path})
    if cloud:
        lines += ["# Who this box is comes from `forebay fleet enroll`."]
        address = cloud if re.search(r":[0-9]+$", cloud) else f"{cloud}:{FLEET_PORT}"
        lines += _table("uplinks.cloud", {"kind": "grpc", "address": address, "identity": "fleet"})
    return {"forebay.toml": "\n".join(lines[:-1]) + "\n", **found}


def _table(name: str, values: Mapping[str, Scalar]) -> list[str]:
    pairs = [
        f"{_key(key)} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()
    ]
    return [f"[{name}]", *pairs, ""]


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
