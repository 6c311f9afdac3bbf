"""Plausible: marks values uncertain that cannot be right: out of their range, or stuck.

Owns what this stage is called and what a person configures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.interfaces import StageSpec
from forebay.stages.plausible.config import PlausibleSettings

if TYPE_CHECKING:
    from forebay.stages.plausible.stage import Plausible


def _build(settings: PlausibleSettings) -> Plausible:
    from forebay.stages.plausible.stage import Plausible

    return Plausible(settings)


SPEC = StageSpec(kind="plausible", settings=PlausibleSettings, build=_build)
