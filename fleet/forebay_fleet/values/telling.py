"""Values as JSON has them, alike for commands and for REST.

Owns the names of fields. Must not know who asks.
"""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay_fleet.errors import UsageError
from forebay_fleet.query import quality_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forebay_fleet.query import Value
    from forebay_fleet.values.asking import Missing
    from forebay_fleet.values.ranges import Steps


def told(value: Value) -> dict[str, Any]:
    """Give one sample."""
    return {
        "time_ns": value.time_ns,
        "received_ns": value.received_ns,
        **_field(value.value),
        "status": value.quality,
        "quality": quality_name(value.quality),
        "clock": value.clock.value,
        "epoch": f"{value.epoch:016x}",
        "seq": value.seq,
    }


def _field(value: float | str | bytes | None) -> dict[str, Any]:
    """Give `value` as a field; bytes as Base64, with a field beside it that says so."""
    if isinstance(value, bytes):
        return {"value": base64.b64encode(value).decode(), "encoding": "base64"}
    return {"value": value}


def position(text: str | None) -> tuple[int, int]:
    """Read EPOCH/SEQ, the epoch in hex digits; (0, 0) for None.

    Raises:
        UsageError: the text is none.
    """
    if text is None:
        return 0, 0
    epoch, _, seq = text.partition("/")
    try:
        found = int(epoch, 16), int(seq)
    except ValueError:
        found = -1, -1
    return sound(found, text)


def sound(position: tuple[int, int], text: str) -> tuple[int, int]:
    """Give the same. UsageError, about `text`, if it can be no position."""
    epoch, seq = position
    if not (0 <= epoch < 1 << 63 and 0 <= seq < 1 << 62):
        raise UsageError(
            f"{text!r} is no position", hint="write EPOCH/SEQ, as `after` in --json has them"
        )
    return position


def of_steps(steps: Steps) -> dict[str, Any]:
    """Give the steps of a range as lists, null where a step has no number."""
    counts = {name: getattr(steps, name).tolist() for name in ("samples", "good", "numbers")}
    numbers = ("min", "max", "mean", "first", "last")
    return {
        "start_ns": steps.start_ns,
        "step_ns": steps.step_ns,
        **counts,
        **{name: _or_null(getattr(steps, name)) for name in numbers},
    }


def of_missing(missing: Missing) -> dict[str, Any]:
    """Give what is missing, and how many more there are."""
    losses = [loss._asdict() for loss in missing.losses]
    return {"missing": losses, "missing_more": missing.more}


def document(content: object) -> bytes:
    """Give JSON (RFC 8259). NaN and infinities, which it has not, become texts of these names."""
    try:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        return json.dumps(_plain(content), allow_nan=False, separators=(",", ":")).encode()


def plain_number(number: float) -> float | str:
    """Give a number as JSON can have it."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _plain(content: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(content, float):
        return plain_number(content)
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_plain(value) for value in content]
    return content


def _or_null(numbers: NDArray[np.float64]) -> list[float | None]:
    there = np.isfinite(numbers)
    return [n if ok else None for n, ok in zip(numbers.tolist(), there.tolist(), strict=True)]
