"""What a fuzzer counted, as one line."""

from __future__ import annotations

from collections import Counter

_TOLD = "told "


def told(ways: Counter[str]) -> Counter[str]:
    """Name what a peer did, apart from what a judge saw."""
    return Counter({_TOLD + way: number for way, number in ways.items()})


def ways(counted: Counter[str]) -> dict[str, int]:
    """Give what peers did."""
    return {k.removeprefix(_TOLD): n for k, n in counted.items() if k.startswith(_TOLD)}


def brief(counted: Counter[str]) -> str:
    """Give what a judge saw, and how many answers were right and how many were not."""
    did = ways(counted)
    right = did.pop("right", 0)
    seen = ", ".join(f"{n} {k}" for k, n in counted.items() if not k.startswith(_TOLD))
    return f"{seen}; {right} answers right, {sum(did.values())} in {len(did)} other ways"
