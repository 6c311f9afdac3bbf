"""The driver for OPC UA servers: subscribes to nodes, or polls them.

Owns the face of the package. Must not import asyncua, which costs most of a
second and 29 MiB; `build` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from forebay.drivers.opcua.check import check
from forebay.drivers.opcua.config import OpcUaSettings, OpcUaTag
from forebay.interfaces import DriverSpec

if TYPE_CHECKING:
    from forebay.drivers.opcua.driver import OpcUaDriver
    from forebay.interfaces import DeviceSpec, Line, Seams


def _build(spec: DeviceSpec, seams: Seams, line: Line) -> OpcUaDriver:
    from forebay.drivers.opcua.driver import OpcUaDriver

    return OpcUaDriver(spec, seams, line)


def _reaches(settings: OpcUaSettings) -> tuple[str, ...]:
    return (urlsplit(settings.endpoint).netloc,)


SPEC = DriverSpec(
    protocol="opcua",
    settings=OpcUaSettings,
    tag=OpcUaTag,
    modes=frozenset({"poll", "subscribe"}),
    build=_build,
    writes=True,
    requires={"asyncua": "opcua"},
    check=check,
    reaches=_reaches,
)
"""What `forebay.registry` loads."""
