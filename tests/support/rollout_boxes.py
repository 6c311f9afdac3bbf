"""Boxes that a rollout goes over, as the registry sees them: what they are told, what they say."""

from __future__ import annotations

import copy
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.access import trail
from forebay_fleet.access.roles import Principal, Role
from forebay_fleet.desired import reports, signing, states
from forebay_fleet.identity import gateways
from forebay_fleet.identity.gateways import GatewayRow
from forebay_fleet.rollouts import book, engine, labels
from forebay_fleet.rollouts.book import Wanted
from forebay_fleet.rollouts.hearing import hear
from forebay_fleet.rollouts.offering import Kit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from forebay_fleet.registry import Registry
    from forebay_fleet.rollouts.plans import BoxState, Plan

ANNA = Principal("anna", Role.OPERATOR, "password")
OLD = {"forebay.toml": b"# old\n", "a.csv": b"1,2\n"}
MAIN = b'[gateway]\nid = "box"\n'
SECOND_NS = 10**9


class Boxes:
    """`names` are enrolled; `say` is what they report, `turn` a look of the engine."""

    def __init__(self, registry: Registry, directory: Path, names: list[str]) -> None:
        self.registry, self.signer = registry, signing.load(directory)
        self.kit = Kit(self.signer)
        self.now_ns = time.time_ns()
        states.prepare(registry)
        trail.prepare(registry)
        labels.prepare(registry)
        with registry.transaction() as db:
            for name in names:
                gateways.put(db, GatewayRow(name, b"k", 1, 0, b"k", b"c", 0, "", 0, 0, 0))

    def after_restart(self, registry: Registry) -> Boxes:
        """Give them as another server of the same registry has them."""
        boxes = copy.copy(self)
        boxes.registry, boxes.kit = registry, Kit(self.signer)
        return boxes

    def push_old(self, name: str, *packages: fleet_pb2.Package) -> None:
        """Have a box be told something before."""
        offer = states.Offer("anna", "", 1, 2, packages)
        states.push(self.registry, self.signer, name, OLD, offer)

    def start(self, plan: Plan, contents: dict[str, bytes] | None = None, **more: object) -> str:
        """Begin a rollout to all; give its id."""
        wanted = Wanted("*", contents or {"forebay.toml": MAIN}, plan)
        return book.start(self.registry, ANNA, wanted._replace(**more), "why")  # type: ignore[arg-type]

    def turn(self, id_: str, after_s: float = 1.0) -> None:
        """Let the engine do all that is to be done now."""
        self.now_ns += int(after_s * SECOND_NS)
        hear(self.registry, book.find(self.registry, id_), self.now_ns)
        while engine.step(self.registry, self.kit, id_, self.now_ns):
            pass

    def state_of(self, id_: str) -> dict[str, str]:
        """Give the state of each box."""
        return {box.gateway: str(box.state) for box in book.boxes(self.registry, id_)}

    def in_state(self, id_: str, state: BoxState) -> set[str]:
        """Give the boxes in a state."""
        return {name for name, found in self.state_of(id_).items() if found == state}

    def desired(self, name: str) -> fleet_pb2.DesiredState:
        """Give what a box is told."""
        found = states.newest(self.registry, name)
        assert found is not None
        return fleet_pb2.DesiredState.FromString(fleet_pb2.Signed.FromString(found[1]).payload)

    def content(self, name: str, path: str = "forebay.toml") -> bytes:
        """Give a file that a box is told to have."""
        (file,) = (one for one in self.desired(name).files if one.path == path)
        found = states.part(self.registry, name, file.sha256, 0, 1 << 20)
        assert found is not None
        return found[1]

    def say(self, name: str, phase: str, error: str = "") -> None:
        """Have a box report what became of what it is told."""
        desired = self.desired(name)
        status = fleet_pb2.ConfigStatus(desired=desired.config_hash)
        status.desired_offer = desired.offer_id
        status.last_attempt.offer_id = desired.offer_id
        number = fleet_pb2.ConfigPhase.Value(f"PHASE_{phase.upper()}")
        status.last_attempt.phase = cast("fleet_pb2.ConfigPhase", number)
        status.last_attempt.error = error
        if phase == "committed":
            status.running = desired.config_hash
        reports.note(
            self.registry,
            reports.Report(name, 1, self.now_ns, "1", b"", status.SerializeToString()),
        )


class Counting(signing.Signer):
    """Signs as another does, and counts."""

    def __init__(self, signer: signing.Signer) -> None:
        self._signer, self.signed = signer, 0

    def sign(self, kind: str, payload: bytes) -> fleet_pb2.Signed:
        self.signed += 1
        return self._signer.sign(kind, payload)


class _Cut(BaseException):
    """A process is killed: nothing catches it, and what is not committed is gone."""


@contextmanager
def cut_after(registry: Registry, statements: int) -> Iterator[None]:
    """End the block before the database is told one statement more."""
    database: Any = registry._db  # noqa: SLF001 - no other way to stand between the two
    execute, left = database.execute, statements

    def counted(*words: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise _Cut
        return execute(*words)

    database.execute = counted
    try:
        with suppress(_Cut):
            yield
    finally:
        del database.execute
