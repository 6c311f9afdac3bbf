"""What a person writes about a deadband: thresholds and silences, for all tags and by name.

Owns which rule a tag gets. Must not know batches.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from forebay.settings import Seconds, Settings, StageSettings
from forebay.sifting import first_match

MAX_RULES = 1_000

Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class DeadbandRule(Settings):
    """What some tags get instead of the stage's own threshold and silence."""

    tags: Annotated[
        str, Field(min_length=1, max_length=128, description="Shell pattern on the tag's name.")
    ]
    threshold: Annotated[Threshold, Field(description="See the stage's threshold.")] = 0.0
    percent: Annotated[Percent, Field(description="See the stage's percent.")] = 0.0
    max_silence: Annotated[
        Seconds | None, Field(gt=0, le=604_800, description="See the stage's; if absent, that.")
    ] = None


class DeadbandSettings(StageSettings):
    """A deadband for one device."""

    threshold: Annotated[
        Threshold,
        Field(
            description="Pass a value that moved by more than this from the last one passed, in "
            "the tag's unit (after scaling). 0: every change. Booleans, strings: every change."
        ),
    ] = 0.0
    percent: Annotated[
        Percent,
        Field(
            description="And by more than this share of the last value passed, as readers see it "
            "(not of a span: a share of a span is a `threshold`)."
        ),
    ] = 0.0
    max_silence: Annotated[
        Seconds,
        Field(gt=0, le=604_800, description="Pass a value anyway when none did for so long."),
    ] = 600.0
    rules: Annotated[
        tuple[DeadbandRule, ...],
        Field(max_length=MAX_RULES, description="The first rule whose pattern matches counts."),
    ] = ()

    def of(self, tag_name: str) -> tuple[float, float, float]:
        """Give (threshold, percent, max_silence in seconds) for a tag."""
        rule = first_match(self.rules, tag_name)
        if rule is None:
            return self.threshold, self.percent, self.max_silence
        return rule.threshold, rule.percent, rule.max_silence or self.max_silence
