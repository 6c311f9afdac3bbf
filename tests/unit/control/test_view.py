"""The view, the wire and the JSON use one set of names."""

from __future__ import annotations

from dataclasses import fields

import pytest

from forebay._proto import control_pb2 as pb
from forebay.control import planning, view

WIRE_ONLY: dict[type, set[str]] = {view.TagValue: {"quality_name"}}


@pytest.mark.parametrize(
    "kind",
    [
        view.StatusReply,
        view.DeviceStatus,
        view.TagValue,
        view.LedgerLine,
        view.UplinkStatus,
        view.StreamStatus,
        view.JournalStatusReply,
        view.SegmentStatus,
        view.RecordSummary,
        view.QuarantinedRecord,
        view.QuarantineDone,
        planning.PlanReply,
        planning.PlannedGroup,
        planning.PlannedRequest,
        planning.RefusedTag,
    ],
)
def test_every_field_has_its_name_on_the_wire(kind: type) -> None:
    descriptor = pb.DESCRIPTOR.message_types_by_name[kind.__name__]
    on_wire = {f.name for f in descriptor.fields if f.containing_oneof is None}
    on_wire |= {oneof.name for oneof in descriptor.oneofs}
    assert {field.name for field in fields(kind)} == on_wire - WIRE_ONLY.get(kind, set())


def test_a_key_is_written_with_a_slash() -> None:
    assert str(view.TagKey("press", "job/name")) == "press/job/name"
