"""Every installed adapter's face, for what describes them all.

Owns the loading of all of them at once, which a running agent never does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from forebay.registry import DRIVERS, STAGES, UPLINKS

if TYPE_CHECKING:
    from forebay.interfaces import DriverSpec, StageSpec, UplinkSpec
    from forebay.registry import Registry


@dataclass(frozen=True, slots=True)
class Installed:
    """The adapters of one environment, each kind sorted by name."""

    drivers: tuple[DriverSpec, ...]
    stages: tuple[StageSpec, ...]
    uplinks: tuple[UplinkSpec, ...]


def installed(registry: Registry) -> Installed:
    """Load every adapter. Raises ConfigError if one lacks its library."""
    return Installed(
        tuple(registry.driver(name, DRIVERS) for name in registry.names(DRIVERS)),
        tuple(registry.stage(name, STAGES) for name in registry.names(STAGES)),
        tuple(registry.uplink(name, UPLINKS) for name in registry.names(UPLINKS)),
    )
