"""What a person writes about a deadband: thresholds and silences, for all tags and by name.

Owns which rule a tag gets. Must not know batches.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field

from forebay.settings import Seconds, Settings, StageSettings

MAX_RULES = 1_000

Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DeadbandRule(Settings):
    """What some tags get instead of the stage's own threshold and silence."""

    tags: Annotated[
        str, Field(min_length=1, max_length=128, description="Shell pattern on the tag's name.")
    ]
    threshold: Annotated[Threshold, Field(description="See the stage's threshold.")]
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
    max_silence: Annotated[
        Seconds,
        Field(gt=0, le=604_800, description="Pass a value anyway when none did for so long."),
    ] = 600.0
    rules: Annotated[
        tuple[DeadbandRule, ...],
        Field(max_length=MAX_RULES, description="The first rule whose pattern matches counts."),
    ] = ()

    def of(self, tag_name: str) -> tuple[float, float]:
        """Give (threshold, max_silence in seconds) for a tag."""
        for rule in self.rules:
            if fnmatchcase(tag_name, rule.tags):
                return rule.threshold, rule.max_silence or self.max_silence
        return self.threshold, self.max_silence
