"""A folder in which cameras, testers and machines leave files.

Owns what this driver is called and what a person configures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.drivers.folder.config import BRINGS, FolderSettings, FolderTag, check
from forebay.interfaces import DriverSpec

if TYPE_CHECKING:
    from forebay.drivers.folder.driver import FolderDriver
    from forebay.interfaces import DeviceSpec, Line, Seams


def _build(spec: DeviceSpec, seams: Seams, line: Line) -> FolderDriver:
    del line  # one folder, one device
    from forebay.drivers.folder.driver import FolderDriver

    return FolderDriver(spec, seams)


def _reaches(_: FolderSettings) -> tuple[str, ...]:
    return ()


SPEC = DriverSpec(
    protocol="folder",
    settings=FolderSettings,
    tag=FolderTag,
    brings=BRINGS,
    modes=frozenset({"subscribe"}),
    build=_build,
    requires={},
    check=check,
    reaches=_reaches,
)
