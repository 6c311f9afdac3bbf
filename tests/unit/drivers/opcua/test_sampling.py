"""What a group and its tags ask of the server."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from forebay.drivers.opcua.sampling import (
    Deadband,
    OpcUaGroup,
    OwnSampling,
    parse_deadband,
    sampling,
)
from forebay.model import ValueType


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("0", None),
        ("0.5", Deadband(0.5, percent=False)),
        ("1e-3", Deadband(0.001, percent=False)),
        ("2 %", Deadband(2.0, percent=True)),
        ("100%", Deadband(100.0, percent=True)),
    ],
)
def test_a_deadband_is_an_amount_or_a_share(text: str, found: Deadband | None) -> None:
    assert parse_deadband(text) == found


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1 kg", "101 %", "1e99%", "% 2", "1" * 50])
def test_anything_else_is_no_deadband(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        parse_deadband(text)
    with pytest.raises(ValidationError):
        OpcUaGroup.model_validate({"deadband": text})


def test_a_deadband_may_be_a_number_in_the_file() -> None:
    assert OpcUaGroup.model_validate({"deadband": 0.25}).deadband == "0.25"


GROUP: dict[str, Any] = {"period": 1.0, "sampling": 0.1, "deadband": "1", "trigger": "timestamp"}


def test_a_tag_goes_before_its_group_and_that_before_the_device() -> None:
    group = OpcUaGroup.model_validate(GROUP)
    of_group = sampling(OwnSampling(), ValueType.FLOAT64, group, 10, 1.0)
    assert (of_group.interval_s, of_group.trigger, of_group.discard_oldest) == (0.1, 2, True)
    assert of_group.deadband == Deadband(1.0, percent=False)
    assert of_group.queue == 20, "twice what is sampled between two messages"
    own = OwnSampling(5.0, 3, "2 %", "status")
    of_tag = sampling(own, ValueType.FLOAT64, group, 10, 1.0)
    assert (of_tag.interval_s, of_tag.trigger, of_tag.queue) == (5.0, 0, 3)
    assert of_tag.deadband == Deadband(2.0, percent=True)


@pytest.mark.parametrize("kind", [ValueType.BOOL, ValueType.STRING])
def test_only_numbers_have_a_deadband(kind: ValueType) -> None:
    plain = OpcUaGroup.model_validate({"deadband": "1"})
    assert not sampling(OwnSampling(), kind, plain, 10, 1.0).filtered


def test_a_refused_filter_gets_simpler_step_by_step() -> None:
    first = sampling(OwnSampling(), ValueType.INT16, OpcUaGroup.model_validate(GROUP), 10, 1.0)
    second = first.simpler
    assert second is not None
    assert (second.deadband, second.trigger) == (None, 2)
    third = second.simpler
    assert third is not None
    assert not third.filtered
    assert third.simpler is None
