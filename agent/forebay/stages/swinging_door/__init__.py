"""Swinging door: keeps the points between which straight lines stay within a deviation.

Owns what this stage is called and what a person configures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.interfaces import StageSpec
from forebay.stages.swinging_door.config import SwingingDoorSettings

if TYPE_CHECKING:
    from forebay.stages.swinging_door.stage import SwingingDoor


def _build(settings: SwingingDoorSettings) -> SwingingDoor:
    from forebay.stages.swinging_door.stage import SwingingDoor

    return SwingingDoor(settings)


SPEC = StageSpec(kind="swinging_door", settings=SwingingDoorSettings, build=_build)
