"""Deadband: lets a value pass when it moved, when its quality changed, or when it was long silent.

Owns what this stage is called and what a person configures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.interfaces import StageSpec
from forebay.stages.deadband.config import DeadbandSettings

if TYPE_CHECKING:
    from forebay.stages.deadband.stage import Deadband


def _build(settings: DeadbandSettings) -> Deadband:
    from forebay.stages.deadband.stage import Deadband

    return Deadband(settings)


SPEC = StageSpec(kind="deadband", settings=DeadbandSettings, build=_build)
