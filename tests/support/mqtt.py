"""What tests of the MQTT driver share: devices of given tags, and drivers on them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from forebay.drivers.mqtt import SPEC
from forebay.drivers.mqtt.driver import MqttDriver
from forebay.interfaces import DeviceSpec, Seams
from forebay.model import Schema
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


def device(port: int, tags: Mapping[str, tuple[str, str]], **settings: Any) -> DeviceSpec:
    """A device with one subscribed group; `tags` maps a name to address and type."""
    given = {
        "protocol": "mqtt",
        "host": "127.0.0.1",
        "port": port,
        "tls": False,
        "timeout": 5.0,
        "keepalive": 2,
        "tags": (),
        **settings,
    }
    rows = [
        SPEC.tag.model_validate({"name": name, "address": address, "type": kind})
        for name, (address, kind) in tags.items()
    ]
    schema = Schema("line", "default", tuple(row.to_tag() for row in rows))
    return DeviceSpec(
        "line", SPEC.settings.model_validate(given), (schema,), {row.name: row for row in rows}
    )


@asynccontextmanager
async def connected(spec: DeviceSpec, seams: Seams | None = None) -> AsyncIterator[MqttDriver]:
    """A connected driver, closed afterwards whether or not it connected."""
    driver = MqttDriver(spec, seams or system_seams())
    try:
        await driver.connect()
        yield driver
    finally:
        await driver.close()
