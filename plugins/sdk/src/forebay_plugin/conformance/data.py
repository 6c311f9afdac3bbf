"""Data for a plugin that nobody knows: tags that its patterns find, in every type that it takes.

Pure. Owns what the checks feed.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay_plugin.frames import Frame
from forebay_plugin.manifest import NS, ManifestError
from forebay_plugin.types import BAD, Type

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forebay_plugin.manifest import Manifest, Role

NUMBERS = tuple(kind for kind in Type if kind.is_number)
BAD_NO_COMMUNICATION = BAD | 0x0031_0000
START_NS = 1_700_000_000 * NS
PERIOD_NS = 10_000_000
ROWS_MAX = 1 << 20


def tags_of(role: Role) -> list[str]:
    """Names that the role's patterns find: as many as it may have, up to one for each type.

    Tags that patterns name in full are all there, whatever the types.

    Raises:
        ManifestError: the patterns name fewer tags than the role needs.
    """
    wild = {pattern for pattern in role.tags if re.search(r"[*?\[]", pattern)}
    wanted = max(len(types_of(role)), len(set(role.tags) - wild))
    most = max(role.least, min(role.most, wanted))
    names = [
        _filled(pattern, letter)
        for letter in _letters(most)  # so that the first of all patterns are of one device
        for pattern in role.tags
        if pattern in wild or letter == "a"
    ]
    names = list(dict.fromkeys(names))[:most]
    if len(names) < role.least:
        raise ManifestError(
            f"the patterns {list(role.tags)} name {len(names)} of {role.least} tags"
        )
    return names


def _letters(count: int) -> Iterator[str]:
    """Words of letters alone: a, b, ... z, aa, ab, ..."""
    for number in range(count):
        tens = chr(96 + number // 26) if number >= 26 else ""
        yield tens + chr(97 + number % 26)


def _filled(pattern: str, letter: str) -> str:
    pattern = re.sub(
        r"\[(!?)(\]?[^\]]*)\]", lambda found: "~" if found[1] else found[2][0], pattern
    )
    return pattern.replace("*", letter).replace("?", letter[0])


def types_of(role: Role) -> tuple[Type, ...]:
    """Every type of value that the role takes."""
    return tuple(kind for kind in Type if role.takes(kind))


def rounds(manifest: Manifest) -> int:
    """How many processes it takes until every tag count has shown every type of its role."""
    return max(
        math.ceil(len(types_of(role)) / len(tags_of(role))) for role in manifest.inputs.values()
    )


def assigned(manifest: Manifest, turn: int) -> dict[str, Type]:
    """Which tag has which type in this round: DEVICE/TAG -> type, role after role."""
    chosen: dict[str, Type] = {}
    for role in manifest.inputs.values():
        kinds, tags = types_of(role), tags_of(role)
        for place, tag in enumerate(tags):
            # The first round begins with float64 where the role takes numbers: the common case.
            order = sorted(kinds, key=lambda kind: kind is not Type.FLOAT64)
            chosen.setdefault(tag, order[(turn * len(tags) + place) % len(order)])
    return chosen


def window_rows(manifest: Manifest) -> int:
    """Rows that fill one window of the manifest, on a grid of `PERIOD_NS`."""
    if manifest.windows.every_ns:
        return min(max(1, manifest.windows.length_ns // PERIOD_NS), ROWS_MAX)
    return manifest.windows.rows


def frames(
    types: dict[str, Type], rows: int, *, bad: bool = False, odd: bool = False
) -> list[Frame]:
    """One frame for each device, evenly sampled; `odd` puts NaN and infinities in."""
    devices: dict[str, dict[str, Any]] = {}
    for number, (tag, kind) in enumerate(types.items()):
        column = _column(kind, rows, number)
        if odd and kind in (Type.FLOAT32, Type.FLOAT64):
            column[::3] = np.resize([np.nan, np.inf, -np.inf], len(column[::3]))
        devices.setdefault(tag.partition("/")[0], {})[tag] = column
    times = START_NS + np.arange(rows, dtype=np.int64) * PERIOD_NS
    code = BAD_NO_COMMUNICATION if bad else 0
    return [
        Frame(times, columns, {tag: np.full(rows, code, np.uint32) for tag in columns}, types)
        for columns in devices.values()
    ]


def _column(kind: Type, rows: int, number: int) -> Any:  # noqa: ANN401 - as Frame.columns
    if kind is Type.STRING:
        return _objects([f"text {row} \u00e4" for row in range(rows)])
    if kind is Type.BYTES:
        return _objects([bytes([row % 256, 0, 255]) for row in range(rows)])
    wave = 20 + 10 * np.sin(np.arange(rows) * 0.7 + number)
    return (wave > 20) if kind is Type.BOOL else wave.astype(kind.dtype)


def _objects(values: Sequence[str | bytes]) -> Any:  # noqa: ANN401 - as above
    column = np.empty(len(values), object)
    column[:] = values
    return column
