"""Which rule a tag gets."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from forebay.stages.swinging_door.config import MAX_RULES, SwingingDoorSettings


def test_without_rules_the_stage_decides() -> None:
    settings = SwingingDoorSettings(kind="swinging_door")
    assert settings.of("any") == (0.0, 0.0, 600.0)


def test_the_first_rule_that_matches_counts() -> None:
    settings = SwingingDoorSettings.model_validate(
        {
            "kind": "swinging_door",
            "deviation": 5,
            "percent": 1.5,
            "max_silence": "1 h",
            "rules": [
                {"tags": "hall.*", "deviation": 0.5, "max_silence": "10 s"},
                {"tags": "*.Flow[12]", "percent": 2},
            ],
        }
    )
    assert settings.of("hall.Flow1") == (0.5, 0.0, 10.0)
    assert settings.of("oven.Flow1") == (0.0, 2.0, 3600.0)
    assert settings.of("oven.flow1") == (5.0, 1.5, 3600.0)


@pytest.mark.parametrize(
    "fault",
    [
        {"deviation": -1},
        {"deviation": float("nan")},
        {"deviation": float("inf")},
        {"percent": 101},
        {"max_silence": 0},
        {"max_silence": "8 d"},
        {"rules": [{"tags": "", "deviation": 1}]},
        {"rules": [{"tags": "x", "deviation": 1}] * (MAX_RULES + 1)},
        {"deviaton": 1},
    ],
)
def test_what_makes_no_sense_is_refused(fault: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SwingingDoorSettings.model_validate({"kind": "swinging_door", **fault})
