"""What one server takes from outside, in one place.

Owns the numbers. Must not know who applies them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

GATEWAY_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""A gateway's id: at most 64 characters, as a common name (RFC 5280, A.1, ub-common-name)."""
RECORD_OVERHEAD_BYTES = 256
"""What a record costs in memory beside its payload: message, envelope, verdict."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of sessions and memory.

    `max_record_bytes` is what a gateway's journal takes at most, `credit_bytes` at least as much:
    whatever a gateway has, it can send. Memory is bounded by `memory_bytes` for all records on
    their way to the disk, plus one message a session. `keepalive_timeout_s` is long because a
    gateway answers a ping behind what it is sending, on a line that may carry 2 kB a second; a
    gateway that is gone costs little meanwhile.
    """

    max_record_bytes: int = 16 << 20
    credit_bytes: int = 16 << 20
    memory_bytes: int = 128 << 20
    max_gateways: int = 1000
    max_heads: int = 4096
    hello_timeout_s: float = 10.0
    commit_bytes: int = 16 << 20
    keepalive_s: float = 20.0
    keepalive_timeout_s: float = 300.0

    def __post_init__(self) -> None:
        """Check what the parts rely on."""
        assert self.max_record_bytes <= self.credit_bytes <= self.memory_bytes

    @property
    def max_calls(self) -> int:
        """Calls on the port of gateways at once.

        Two uplinks a gateway on average and its stream to the fleet, while a quarter of them renew
        their certificates, or fetch what is new.
        """
        return 3 * self.max_gateways + max(200, self.max_gateways // 4)

    @property
    def max_message_bytes(self) -> int:
        """What one gRPC message may hold: a full credit of records and their envelopes."""
        return self.credit_bytes + self.max_record_bytes
