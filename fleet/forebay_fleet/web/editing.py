"""What becomes of an edited configuration: what is wrong, what differs, how it is pushed.

Pure but for `current` and `push`. What is wrong is judged by what a push itself uses: the rules of
`desired.folder`, and the templates that rollouts render.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.access import trail
from forebay_fleet.artifacts import choosing
from forebay_fleet.desired import folder, signing, states
from forebay_fleet.errors import UsageError
from forebay_fleet.rollouts import labels, templates
from forebay_fleet.rollouts.templates import Fault
from forebay_fleet.web import doubts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from forebay_fleet.access.roles import Principal
    from forebay_fleet.artifacts.published import Published
    from forebay_fleet.registry import Registry

OFFERED_S = 30 * 86_400
"""How long a box may begin with it, as `push` has it."""
MOST_DIFF_LINES = 2_000


class Told(NamedTuple):
    """What a box was told last: its files, and the hash of them; nothing for one never told."""

    contents: dict[str, bytes]
    hash: bytes


class Proof(NamedTuple):
    """What a push would send, and what is wrong; `absent` packages are not published here.

    `doubts` are what a box will most likely refuse; it has the last word.
    """

    contents: dict[str, bytes]
    faults: list[Fault]
    absent: list[str]
    doubts: list[Fault]


def told(registry: Registry, name: str) -> Told:
    """Give what a box was told last. StoreFailed."""
    found = states.newest(registry, name)
    if found is None:
        return Told({}, b"")
    payload = fleet_pb2.Signed.FromString(found[1]).payload
    state = fleet_pb2.DesiredState.FromString(payload)
    contents = {}
    for file in state.files:
        rows = registry.rows("SELECT data FROM contents WHERE sha256 = ?", (file.sha256,))
        if rows:
            contents[file.path] = bytes(rows[0][0])
    return Told(contents, state.config_hash)


def prove(
    contents: Mapping[str, bytes], variables: Mapping[str, labels.Scalar], published: Published
) -> Proof:
    """Say what a push of these files would send to a box with these variables."""
    try:
        folder.check(contents)
    except UsageError as error:
        return Proof({}, [Fault(folder.MAIN, str(error), error.hint)], [], [])
    rendered = templates.render(contents, variables)
    absent = choosing.chosen(rendered.contents, published.artifacts())[1]
    gateway = str(variables.get(labels.GATEWAY, ""))
    found = [] if rendered.faults else doubts.found(rendered.contents, gateway)
    return Proof(rendered.contents, rendered.faults, absent, found)


def variables_of(registry: Registry, name: str) -> dict[str, labels.Scalar]:
    """Give the values that templates take from a box. StoreFailed."""
    return labels.values(registry, name)


def diff(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[str]:
    """Give what differs, as a unified diff over all files; binary ones are only named."""
    lines: list[str] = []
    for path in sorted({*before, *after}):
        old, new = before.get(path, b""), after.get(path, b"")
        if old == new and (path in before) is (path in after):
            continue
        try:
            texts = old.decode().splitlines(), new.decode().splitlines()
        except UnicodeDecodeError:
            lines.append(f"~~~ {path}: {len(old):,} -> {len(new):,} bytes")
            continue
        lines += difflib.unified_diff(*texts, path, path, lineterm="", n=2)
    return lines[:MOST_DIFF_LINES]


def push(
    registry: Registry,
    who: Principal,
    name: str,
    proof: Proof,
    place: tuple[Path, Published, int, str],
) -> states.Pushed:
    """Make a proven configuration what a box is to run; `place` ends with now (ns) and why.

    Raises:
        UsageError: it has faults; no such box; it is too large.
        StoreFailed: the disk refuses it.
    """
    data, published, now_ns, why = place
    if proof.faults:
        one = proof.faults[0]
        raise UsageError(f"{one.path}: {one.message}", hint=one.hint)
    packages, _ = choosing.chosen(proof.contents, published.artifacts())
    until_ns = now_ns + OFFERED_S * 10**9
    offer = states.Offer(who.name, why[:200], now_ns, until_ns, tuple(packages))
    with registry.transaction() as db:
        pushed = states.put(db, signing.load(data), name, proof.contents, offer)
        states.forget_unnamed(db)
        details: dict[str, object] = {"version": pushed.version, "hash": pushed.hash.hex()}
        trail.note(db, who, "config.push", name, why, details)
    return pushed
