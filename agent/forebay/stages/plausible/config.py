"""What a person writes about plausible values: ranges, and how long a value may stand still.

Owns which rule a tag gets. Must not know batches.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from forebay.settings import Seconds, Settings, StageSettings
from forebay.sifting import first_match

MAX_RULES = 1_000

Bound = Annotated[float, Field(allow_inf_nan=False)]


class PlausibleRule(Settings):
    """What values of some tags can be."""

    tags: Annotated[
        str, Field(min_length=1, max_length=128, description="Shell pattern on the tag's name.")
    ]
    low: Annotated[
        Bound | None,
        Field(description="A value below it, in the tag's unit (after scaling), is uncertain."),
    ] = None
    high: Annotated[Bound | None, Field(description="The same of a value above it.")] = None
    stuck_after: Annotated[
        Seconds | None,
        Field(
            gt=0,
            le=31_536_000,
            description="A value that has been the same for so long is uncertain: only for tags "
            "that always move a little, such as measurements with noise.",
        ),
    ] = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}; exchange them")
        if self.low is None and self.high is None and self.stuck_after is None:
            raise ValueError("nothing is asked of these tags; give low, high or stuck_after")
        return self


class PlausibleSettings(StageSettings):
    """What values of one device can be."""

    rules: Annotated[
        tuple[PlausibleRule, ...],
        Field(
            min_length=1,
            max_length=MAX_RULES,
            description="The first rule whose pattern matches counts; no rule, no mark.",
        ),
    ]

    def of(self, tag_name: str) -> PlausibleRule | None:
        """Give the rule of a tag, if it has one."""
        return first_match(self.rules, tag_name)
