"""Files in a directory: lines of JSON, or Parquet.

Owns what this uplink is called and what a person configures. Importing it loads no pyarrow.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from forebay.errors import Fault
from forebay.interfaces import UplinkSpec
from forebay.uplinks.file.config import FileSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from forebay.interfaces import Seams
    from forebay.uplinks.file.uplink import FileUplink


def _build(name: str, settings: FileSettings, seams: Seams) -> FileUplink:
    from forebay.uplinks.file.uplink import FileUplink

    return FileUplink(name, settings, seams)


def _check(gateway: str, name: str, settings: FileSettings) -> Iterator[Fault]:
    """Find out whether what the format needs is installed: lines of JSON need nothing."""
    del gateway
    if settings.format == "parquet" and find_spec("pyarrow") is None:
        yield Fault(
            f"uplinks.{name}.format",
            "the Python package pyarrow is not installed",
            "install forebay[parquet]: pip install -e '.[parquet]' in the clone",
        )


def _reaches(_: FileSettings) -> tuple[str, ...]:
    return ()


def _writes(settings: FileSettings) -> Path:
    return settings.directory


SPEC = UplinkSpec(
    kind="file",
    settings=FileSettings,
    build=_build,
    requires={},
    check=_check,
    reaches=_reaches,
    writes=_writes,
)
"""What `forebay.registry` loads."""
