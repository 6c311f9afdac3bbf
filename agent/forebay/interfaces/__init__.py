"""The seams between engines and adapters: who calls what, when, how often, until what.

Owns the contracts. Must not know any implementation. Every adapter is checked against these words
by `tests/contracts`.
"""

from __future__ import annotations

from forebay.interfaces.drivers import (
    DeviceSpec,
    DriverSpec,
    no_difference,
    no_faults,
    no_line,
)
from forebay.interfaces.driving import (
    Block,
    Cost,
    Driver,
    DurableDriver,
    IdentifyingDriver,
    Line,
    ListeningDriver,
    MeasuredDriver,
    PolledDriver,
    Reader,
    Refusal,
    Scan,
    Span,
    SpanLimits,
    StreamedDriver,
    Urgency,
)
from forebay.interfaces.intake import (
    Intake,
    Seams,
    Stage,
    StageSpec,
)
from forebay.interfaces.operating import (
    BrowsableDriver,
    CallableDriver,
    DeviceAnswer,
    Found,
    Operated,
    PunctualCallableDriver,
    PunctualDriver,
    ScannableDriver,
    Value,
    WritableDriver,
)
from forebay.interfaces.uplinks import (
    Head,
    Offer,
    Receipt,
    Resume,
    Terms,
    Uplink,
    UplinkSpec,
    no_schema,
    no_uplink_faults,
)

__all__ = [
    "Block",
    "BrowsableDriver",
    "CallableDriver",
    "Cost",
    "DeviceAnswer",
    "DeviceSpec",
    "Driver",
    "DriverSpec",
    "DurableDriver",
    "Found",
    "Head",
    "IdentifyingDriver",
    "Intake",
    "Line",
    "ListeningDriver",
    "MeasuredDriver",
    "Offer",
    "Operated",
    "PolledDriver",
    "PunctualCallableDriver",
    "PunctualDriver",
    "Reader",
    "Receipt",
    "Refusal",
    "Resume",
    "Scan",
    "ScannableDriver",
    "Seams",
    "Span",
    "SpanLimits",
    "Stage",
    "StageSpec",
    "StreamedDriver",
    "Terms",
    "Uplink",
    "UplinkSpec",
    "Urgency",
    "Value",
    "WritableDriver",
    "no_difference",
    "no_faults",
    "no_line",
    "no_schema",
    "no_uplink_faults",
]
