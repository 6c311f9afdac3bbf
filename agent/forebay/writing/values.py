"""From the value that a person writes to the raw one that a device has, and back. Pure.

Owns what a type can hold and when two values are the same. Must not know rules or devices.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal, DivisionByZero, InvalidOperation, localcontext
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.model import MAX_STRING_BYTES, ValueType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.interfaces import Value
    from forebay.model import Tag

NEAR = Decimal("1e-9")
"""How far, of a value or its offset, the raw value of an integer tag may miss a whole number."""
MAX_MISS = Decimal("1e-6")
"""However large they are, not by more than this, in raw units: it is for float noise alone."""
MAX_SAID_CHARACTERS = 4_000
"""The longest value that the audit holds whole."""
_BEGINNING = 1_000
_DIGITS = 40
_PADDING = " \x00"


class Unwritable(ValueError):
    """A value that a tag cannot hold. Carries the next step."""

    def __init__(self, message: str, hint: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.hint = hint


def to_raw(tag: Tag, value: Value) -> Value:
    """Give what is sent so that readers see `value`: `(value - offset) / scale`, by the tag's type.

    Reckoned in decimals, as a person reads the figures, so that 42.3 with a scale of 0.1 is 423.
    A number for an integer tag must come out whole, but for float noise. Raises Unwritable.
    """
    if tag.type is ValueType.BOOL:
        if not isinstance(value, bool):
            raise Unwritable(f"{said(value)} is not a bool", "write true or false")
        return value
    if tag.type is ValueType.STRING:
        return _text(value)
    if tag.type is ValueType.BYTES:
        raise Unwritable("bytes cannot be written", "write to a tag of another type")
    if isinstance(value, (bool, str)):
        raise Unwritable(f"{said(value)} is not a number", f"the tag has type {tag.type}")
    if isinstance(value, float) and not isfinite(value):
        raise Unwritable(f"{said(value)} is not a finite number", "write an ordinary number")
    raw = _unscaled(tag, value)
    return _whole(tag, value, raw) if tag.type.dtype.kind in "iu" else _floating(tag, value, raw)


def to_engineering(tag: Tag, raw: Value) -> Value:
    """Give a raw value as readers see it, reckoned in decimals: 423 with a scale of 0.1 is 42.3."""
    if not tag.scaled or isinstance(raw, str) or not isfinite(raw):
        return raw
    with localcontext(prec=_DIGITS):
        exact = Decimal(raw) if isinstance(raw, int) else Decimal(repr(raw))
        return float(exact * Decimal(repr(tag.scale)) + Decimal(repr(tag.offset)))


def sendable(tag: Tag, raw: Value, held: np.dtype[Any]) -> tuple[Value, ...]:
    """Give what can be sent for a raw value: what a device that holds it as `held` has closest.

    For a float its neighbours there, too. Each in the fewest digits that mean it in the tag's type,
    as readers see it: in float32 0.1 is 0.1, and the float16 nearest to that is 0.099975586. Raises
    Unwritable for more than `held` can be.
    """
    if isinstance(raw, str) or held.kind != "f":
        return (raw,)
    with np.errstate(over="ignore"):
        nearest = held.type(raw)
        beside = [np.nextafter(nearest, held.type(end)) for end in ("-inf", "inf")]
    if not np.isfinite(nearest):
        raise Unwritable(
            f"{said(raw)} is more than {held} can hold, as which it is sent",
            "write a smaller amount",
        )
    seen = tag.type.dtype.type
    return tuple(float(str(seen(one))) for one in (nearest, *beside) if np.isfinite(one))


def noise(tag: Tag, value: float) -> float:
    """How far a reader may see a float tag from `value` that its scale and type cannot tell."""
    if not tag.scaled or tag.type.dtype.kind != "f":
        return 0.0
    return float(np.finfo(tag.type.dtype).eps) * max(abs(value), abs(tag.offset))


def same(tag: Tag, sent: Value, read: Value) -> bool:
    """Whether a raw value that was read back is the one that was sent, as far as its type tells.

    Floats are compared in the precision of their type, texts without the padding at their end.
    """
    if isinstance(sent, str) and isinstance(read, str):
        return sent.rstrip(_PADDING) == read.rstrip(_PADDING)
    if isinstance(sent, str) or isinstance(read, str):
        return False
    if tag.type is ValueType.FLOAT32:
        return bool(np.float32(sent) == np.float32(read))
    return sent == read


def said(value: Value | Sequence[Value] | None) -> str:
    """Give a value, or a method's arguments, as JSON; empty for None.

    Of what is longer than MAX_SAID_CHARACTERS the beginning, and the SHA-256 of all.
    """
    text = "" if value is None else json.dumps(value, ensure_ascii=False)
    if len(text) <= MAX_SAID_CHARACTERS:
        return text
    whole = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"{text[:_BEGINNING]}... ({len(text)} characters, SHA-256 {whole})"


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise Unwritable(f"{said(value)} is not a text", "the tag is a string; use --text")
    size = len(value.encode())
    if size > MAX_STRING_BYTES:
        raise Unwritable(f"a text of {size} bytes is too long", f"at most {MAX_STRING_BYTES}")
    return value


def _unscaled(tag: Tag, value: float) -> Decimal:
    exact = Decimal(value) if isinstance(value, int) else Decimal(repr(value))
    if not tag.scaled:
        return exact
    with localcontext(prec=_DIGITS):
        try:
            return (exact - Decimal(repr(tag.offset))) / Decimal(repr(tag.scale))
        except (DivisionByZero, InvalidOperation):
            raise Unwritable(
                "a tag with a scale of 0 cannot be written", "give the tag another scale"
            ) from None


def _whole(tag: Tag, value: float, raw: Decimal) -> int:
    nearest = int(raw.to_integral_value())
    limits = np.iinfo(tag.type.dtype)
    if not limits.min <= nearest <= limits.max:
        raise Unwritable(
            f"{said(value)} is more than type {tag.type} can hold", "write a smaller amount"
        )
    if abs(raw - nearest) > _miss(tag, value):
        below = int(raw.to_integral_value(rounding="ROUND_FLOOR"))
        near = [to_engineering(tag, number) for number in (below, below + 1)]
        raise Unwritable(
            f"{said(value)} cannot be told exactly by type {tag.type}",
            f"write {said(near[0])} or {said(near[1])}",
        )
    return nearest


def _miss(tag: Tag, value: float) -> Decimal:
    """Give by how much, in raw units, float noise in `value` can miss a whole number."""
    exact = Decimal(value) if isinstance(value, int) else Decimal(repr(value))
    with localcontext(prec=_DIGITS):
        size = max(abs(exact), abs(Decimal(repr(tag.offset)))) / abs(Decimal(repr(tag.scale)))
        return min(MAX_MISS, NEAR * size)


def _floating(tag: Tag, value: float, raw: Decimal) -> float:
    out = float(raw)
    if not isfinite(out) or abs(out) > float(np.finfo(tag.type.dtype).max):
        raise Unwritable(
            f"{said(value)} is more than type {tag.type} can hold", "write a smaller amount"
        )
    return out
