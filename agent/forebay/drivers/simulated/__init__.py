"""A device without a network: each tag's address says which signal it makes.

Owns what this driver is called and what a person configures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.drivers.simulated.config import SimulatedSettings, SimulatedTag
from forebay.interfaces import DriverSpec

if TYPE_CHECKING:
    from forebay.drivers.simulated.driver import SimulatedDriver
    from forebay.interfaces import DeviceSpec, Line, Seams


def _build(spec: DeviceSpec, seams: Seams, line: Line) -> SimulatedDriver:
    del line  # one connection, one device
    from forebay.drivers.simulated.driver import SimulatedDriver

    return SimulatedDriver(spec, seams)


def _reaches(_: SimulatedSettings) -> tuple[str, ...]:
    return ()


SPEC = DriverSpec(
    protocol="simulated",
    settings=SimulatedSettings,
    tag=SimulatedTag,
    modes=frozenset({"poll"}),
    build=_build,
    writes=True,
    requires={},
    reaches=_reaches,
)
