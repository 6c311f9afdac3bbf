"""What tests of the OPC UA driver share: devices of given tags, and drivers on them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from forebay.acquisition.line import SharedLine
from forebay.drivers.opcua import SPEC
from forebay.drivers.opcua.driver import OpcUaDriver
from forebay.interfaces import DeviceSpec, Seams
from forebay.model import Schema
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from forebay.model import Sample


def device(
    endpoint: str,
    tags: Mapping[str, tuple[str, str]],
    *,
    state: Path | None = None,
    columns: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> DeviceSpec:
    """A device with one group.

    `tags` maps a name to address and type, and `columns` to what else its row says.
    """
    given = {
        "protocol": "opcua",
        "endpoint": endpoint,
        "security_policy": "None",
        "timeout": 5.0,
        "tags": (),
        **settings,
    }
    rows = [
        SPEC.tag.model_validate(
            {"name": name, "address": address, "type": kind, **(columns or {}).get(name, {})}
        )
        for name, (address, kind) in tags.items()
    ]
    schema = Schema("press", "default", tuple(row.to_tag() for row in rows))
    return DeviceSpec(
        "press",
        SPEC.settings.model_validate(given),
        (schema,),
        {row.name: row for row in rows},
        state,
    )


@asynccontextmanager
async def connected(
    spec: DeviceSpec, seams: Seams | None = None, line: SharedLine | None = None
) -> AsyncIterator[OpcUaDriver]:
    """A connected driver, closed afterwards whether or not it connected.

    What a driver is to remember over connections, it finds on the same `line`.
    """
    seams = seams or system_seams()
    driver = OpcUaDriver(spec, seams, line or SharedLine(spec.name, seams.clock))
    try:
        await driver.connect()
        yield driver
    finally:
        await driver.close()


async def read_once(driver: OpcUaDriver, spec: DeviceSpec) -> dict[str, Sample]:
    """Poll once and give the samples by tag."""
    scan = await driver.reader(spec.schemas[0], ()).read()
    return {sample.tag.name: sample for sample in scan.batch.iter_samples()}
