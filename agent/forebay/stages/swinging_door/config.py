"""What a person writes about a swinging door: deviations and silences, for all tags and by name.

Owns which rule a tag gets. Must not know batches.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from forebay.settings import Seconds, Settings, StageSettings
from forebay.sifting import first_match

MAX_RULES = 1_000

Deviation = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class SwingingDoorRule(Settings):
    """What some tags get instead of the stage's own deviation and silence."""

    tags: Annotated[
        str, Field(min_length=1, max_length=128, description="Shell pattern on the tag's name.")
    ]
    deviation: Annotated[Deviation, Field(description="See the stage's deviation.")] = 0.0
    percent: Annotated[Percent, Field(description="See the stage's percent.")] = 0.0
    max_silence: Annotated[
        Seconds | None, Field(gt=0, le=604_800, description="See the stage's; if absent, that.")
    ] = None


class SwingingDoorSettings(StageSettings):
    """A swinging door for one device."""

    deviation: Annotated[
        Deviation,
        Field(
            description="The most that a straight line between two values passed may be off, in "
            "the tag's unit (after scaling). 0: only what lies on the line is held back. Booleans, "
            "strings: every change passes."
        ),
    ] = 0.0
    percent: Annotated[
        Percent,
        Field(
            description="Or this share of the value that the line begins with, as readers see it, "
            "if that is more (not of a span: a share of a span is a `deviation`)."
        ),
    ] = 0.0
    max_silence: Annotated[
        Seconds,
        Field(gt=0, le=604_800, description="Pass a value anyway when none did for so long."),
    ] = 600.0
    rules: Annotated[
        tuple[SwingingDoorRule, ...],
        Field(max_length=MAX_RULES, description="The first rule whose pattern matches counts."),
    ] = ()

    def of(self, tag_name: str) -> tuple[float, float, float]:
        """Give (deviation, percent, max_silence in seconds) for a tag."""
        rule = first_match(self.rules, tag_name)
        if rule is None:
            return self.deviation, self.percent, self.max_silence
        return rule.deviation, rule.percent, rule.max_silence or self.max_silence
