"""Devices that share a line have to agree about it.

Owns that check, which no device alone can fail. Must not know protocols: drivers say what a line
is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forebay.config.devices import Device


def check_lines(devices: Sequence[Device]) -> Iterator[tuple[str, Fault]]:
    """Find settings of a line in which a device differs from the first one on it.

    Gives the device's name with each.
    """
    first: dict[tuple[str, str], Device] = {}
    for device in devices:
        settings = device.spec.settings
        key = device.driver.line(settings)
        if key is None or not settings.enabled:
            continue
        other = first.setdefault((settings.protocol, key), device).spec
        for setting in device.driver.differ(other.settings, settings):
            fault = Fault(
                f"devices.{device.spec.name}.{setting}",
                f"is not that of {other.name}, and both are on {key}",
                "what shares a line has one connection; give both the same",
            )
            yield device.spec.name, fault
