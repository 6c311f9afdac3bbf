"""The driver for MQTT: takes values from the messages of a broker.

Owns the face of the package. Must not import aiomqtt; `build` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.drivers.mqtt.config import MqttSettings, MqttTag
from forebay.interfaces import DriverSpec

if TYPE_CHECKING:
    from forebay.drivers.mqtt.driver import MqttDriver
    from forebay.interfaces import DeviceSpec, Line, Seams


def _build(spec: DeviceSpec, seams: Seams, line: Line) -> MqttDriver:
    del line  # one connection, one device
    from forebay.drivers.mqtt.driver import MqttDriver

    return MqttDriver(spec, seams)


def _reaches(settings: MqttSettings) -> tuple[str, ...]:
    return (f"{settings.host}:{settings.port_used}",)


SPEC = DriverSpec(
    protocol="mqtt",
    settings=MqttSettings,
    tag=MqttTag,
    modes=frozenset({"subscribe"}),
    build=_build,
    requires={"aiomqtt": "mqtt"},
    reaches=_reaches,
)
"""What `forebay.registry` loads."""
