"""The end of the demo: the agent's last account against what the server's store contains.

Owns the comparison. Pure but for reading two documents that other programs wrote.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from forebay.cli.demo.processes import DemoFailed

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Verdict:
    """Samples.

    `delivered` are those in the server's store; `duplicates` are stored more than once.
    """

    produced: int
    delivered: int
    pending: int
    gapped: int
    quarantined: int
    duplicates: int

    @property
    def balanced(self) -> bool:
        """Whether everything produced was delivered, once."""
        rest = (self.pending, self.gapped, self.quarantined, self.duplicates)
        return self.produced > 0 and self.produced == self.delivered and not any(rest)

    def as_json(self) -> str:
        """Give the demo's last line."""
        return json.dumps(asdict(self))


def last_account(log: Path) -> dict[str, Any]:
    """Give the fields of the agent's last `agent_stopped` line; DemoFailed if there is none."""
    for text in reversed(log.read_text(encoding="utf-8", errors="replace").splitlines()):
        if '"agent_stopped"' in text:
            found: dict[str, Any] = json.loads(text)
            return found
    raise DemoFailed("the agent did not stop in order", hint=f"see {log}")


def judge(agent: dict[str, Any], server: dict[str, Any]) -> Verdict:
    """Hold the agent's account against the server's verified ledger."""
    return Verdict(
        produced=agent["produced"],
        delivered=server["samples"],
        pending=agent["pending"],
        gapped=agent["gapped"],
        quarantined=agent["quarantined"],
        duplicates=server["duplicates"],
    )
