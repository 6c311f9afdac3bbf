"""Finds adapters by their entry points, one by one and only when asked for.

Owns the lookup and what is said when it fails. Must not know any adapter, nor read configuration.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING

from forebay.errors import ConfigError, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.interfaces import DriverSpec, StageSpec, UplinkSpec

DRIVERS = "forebay.drivers"
STAGES = "forebay.stages"
UPLINKS = "forebay.uplinks"


class Registry:
    """The adapters installed beside Forebay."""

    def __init__(self) -> None:
        """Read the entry points of the environment once; nothing is imported yet."""
        self._found: dict[str, dict[str, EntryPoint]] = {
            group: {entry.name: entry for entry in entry_points(group=group)}
            for group in (DRIVERS, STAGES, UPLINKS)
        }

    def names(self, group: str) -> tuple[str, ...]:
        """Give the names in `group` (DRIVERS, STAGES or UPLINKS), sorted."""
        return tuple(sorted(self._found[group]))

    def driver(self, protocol: str, path: str) -> DriverSpec:
        """Give the driver for `protocol`.

        ConfigError at `path` if there is none or its library is missing.
        """
        spec: DriverSpec = self._load(DRIVERS, protocol, path)
        _check_requirements(spec.requires, path)
        return spec

    def stage(self, kind: str, path: str) -> StageSpec:
        """Give the stage `kind`; ConfigError at `path` if there is none."""
        spec: StageSpec = self._load(STAGES, kind, path)
        return spec

    def uplink(self, kind: str, path: str) -> UplinkSpec:
        """Give the uplink `kind`.

        ConfigError at `path` if there is none or its library is missing.
        """
        spec: UplinkSpec = self._load(UPLINKS, kind, path)
        _check_requirements(spec.requires, path)
        return spec

    def _load(self, group: str, name: str, path: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - three spec types
        entry = self._found[group].get(name)
        what = group.removeprefix("forebay.").removesuffix("s")
        if entry is None:
            known = ", ".join(self.names(group)) or "none"
            raise ConfigError(
                [Fault(path, f"there is no {what} {name!r}", f"installed are: {known}")]
            )
        try:
            return entry.load()
        except (ImportError, AttributeError) as error:
            message = f"the {what} {name!r} cannot be loaded: {error}"
            raise ConfigError(
                [Fault(path, message, "reinstall the package that brings it")]
            ) from error


def _check_requirements(requires: Mapping[str, str], path: str) -> None:
    """Raise ConfigError at `path` for each module of `requires` that cannot be imported."""
    faults = [
        Fault(
            path,
            f"the Python package {module} is not installed",
            f"install forebay[{extra}]: pip install -e '.[{extra}]' in the clone",
        )
        for module, extra in requires.items()
        if find_spec(module) is None
    ]
    if faults:
        raise ConfigError(faults)
