"""Which rule a tag gets."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from forebay.stages.deadband.config import MAX_RULES, DeadbandSettings


def test_without_rules_the_stage_decides() -> None:
    settings = DeadbandSettings(kind="deadband")
    assert settings.of("any") == (0.0, 0.0, 600.0)


def test_the_first_rule_that_matches_counts() -> None:
    settings = DeadbandSettings.model_validate(
        {
            "kind": "deadband",
            "threshold": 5,
            "percent": 1.5,
            "max_silence": "1 h",
            "rules": [
                {"tags": "hall.*", "threshold": 0.5, "max_silence": "10 s"},
                {"tags": "*.Temp[12]", "threshold": 2},
            ],
        }
    )
    assert settings.of("hall.Temp1") == (0.5, 0.0, 10.0)
    assert settings.of("oven.Temp1") == (2.0, 0.0, 3600.0)
    assert settings.of("oven.temp1") == (5.0, 1.5, 3600.0)


@pytest.mark.parametrize(
    "fault",
    [
        {"threshold": -1},
        {"threshold": float("nan")},
        {"threshold": float("inf")},
        {"max_silence": 0},
        {"max_silence": "8 d"},
        {"rules": [{"tags": "", "threshold": 1}]},
        {"percent": -0.1},
        {"percent": 101},
        {"rules": [{"tags": "x", "percent": 101}]},
        {"rules": [{"tags": "x", "threshold": 1}] * (MAX_RULES + 1)},
        {"treshold": 1},
    ],
)
def test_what_makes_no_sense_is_refused(fault: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DeadbandSettings.model_validate({"kind": "deadband", **fault})
