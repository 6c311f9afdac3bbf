"""An MQTT broker: readings as JSON by topics of one's own, or as Sparkplug B.

Owns what this uplink is called and what a person configures. Must not import aiomqtt; `build` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.interfaces import UplinkSpec
from forebay.uplinks.mqtt.config import MqttUplinkSettings

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.interfaces import Seams
    from forebay.uplinks.mqtt.uplink import MqttUplink


def _build(name: str, settings: MqttUplinkSettings, seams: Seams) -> MqttUplink:
    from forebay.uplinks.mqtt.uplink import MqttUplink

    return MqttUplink(name, settings, seams)


def _reaches(settings: MqttUplinkSettings) -> tuple[str, ...]:
    return (f"{settings.host}:{settings.port_used}",)


def _secured(settings: MqttUplinkSettings, state: Path) -> tuple[str, str] | None:
    """Give who may sign the broker; see `UplinkSpec.secured`."""
    del state
    if not settings.tls:
        return None
    return "", settings.ca.read_text("utf-8") if settings.ca is not None else ""


SPEC = UplinkSpec(
    kind="mqtt",
    settings=MqttUplinkSettings,
    build=_build,
    requires={"aiomqtt": "mqtt"},
    reaches=_reaches,
    secured=_secured,
)
"""What `forebay.registry` loads."""
