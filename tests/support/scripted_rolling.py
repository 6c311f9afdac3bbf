"""Trying configurations, in set words: what a `ScriptedAgent` may have beside it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from forebay.config.attempts import Attempt, Phase, Status
from forebay.config.bundle import MAIN
from forebay.errors import Fault, RequestFailed
from support.scripted_agent import NOW

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.config.attempts import Offer

RUNNING = b'[gateway]\nid = "gw-1"\n[uplinks.broker]\npassword = "hush"\n'
DONE = Attempt(
    7, "ab" * 32, "local-1", "local", "uid:0", "", Phase.COMMITTED, NOW, generation=3, took_s=12.0
)


@dataclass
class ScriptedRolling:
    """Implements `config.attempts.Rolling`; an offer has become `end` at once."""

    end: Attempt = DONE
    offered: list[tuple[Offer, dict[str, bytes]]] = field(default_factory=list)
    fault: Exception | None = None
    file: str = "/etc/forebay/forebay.toml"

    async def offer(self, offer: Offer) -> int:
        """Take it, and all that belongs to it."""
        found = {file.path: await offer.content(file.sha256) for file in offer.files}
        self.offered.append((offer, found))
        return self.end.id

    async def rollback(self, who: str, reason: str) -> int:
        """Go back."""
        if self.fault is not None:
            raise self.fault
        self.end = replace(self.end, who=who, reason=reason)
        return self.end.id

    async def status(self) -> Status:
        """Give set words."""
        left_out = Fault("press.csv:7", "address is wrong", "write holding:1")
        return Status(
            "", "", "ab" * 32, 3, "fleet", self.end, (left_out,), "cd" * 32,
            on_trial=True, probation_left_s=61.0, file=self.file,
            file_differs=True,
        )  # fmt: skip

    def attempts(self) -> tuple[Attempt, ...]:
        """Give the one."""
        return (self.end,)

    async def contents(self, which: str) -> Mapping[str, bytes]:
        """Give files, a key among them."""
        if which == "desired":
            raise RequestFailed("it is not here", hint="see `forebay config history`")
        return {MAIN: RUNNING, "key.pem": b"PRIVATE", "big.csv": b"x," * 400_000}

    async def changed(self, seen: int) -> int:
        """Never changes."""
        return seen
