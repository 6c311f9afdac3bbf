"""Answers the questions about the configuration on the control socket.

Owns their translation and what one may cost: one configuration at a time is taken in, and none that
is larger than a bundle may be. Must not know how a configuration is tried.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING

from forebay._proto import control_pb2 as pb
from forebay.config.attempts import Offer
from forebay.config.bundle import MAX_BYTES, MAX_FILES, described
from forebay.errors import RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from forebay.config.attempts import Attempt, Rolling

PART_BYTES = 256 << 10
SEND_S = 60.0
"""How long one configuration may take to come; the next waits for it."""
MAX_QUARANTINED = 1_000
MAX_REASON_CHARACTERS = 256
SHOWN = (".toml", ".csv")
"""What anybody who may ask may read; other files may be keys."""


class ConfigService:
    """One method for each question: request message in, reply message out."""

    def __init__(self, rolling: Rolling | None) -> None:
        """Ask `rolling`; None where nothing else can come to run."""
        self._rolling, self._one = rolling, asyncio.Lock()

    def _asked(self) -> Rolling:
        if self._rolling is None:
            raise RequestFailed(
                "this agent runs one configuration only", hint="start `forebay run`"
            )
        return self._rolling

    async def status(self, _: pb.ConfigRequest) -> pb.ConfigReply:
        """Answer GetConfig."""
        status = await self._asked().status()
        last = status.last_attempt
        return pb.ConfigReply(
            desired=status.desired,
            desired_offer=status.desired_offer,
            running=status.running,
            running_generation=status.running_generation,
            running_source=status.running_source,
            last_attempt=None if last is None else attempt_message(last),
            quarantined=[
                pb.ConfigFault(path=fault.path, message=fault.message, hint=fault.hint)
                for fault in status.quarantined[:MAX_QUARANTINED]
            ],
            effective=status.effective,
            on_trial=status.on_trial,
            probation_left_s=status.probation_left_s,
            file=status.file,
            file_differs=status.file_differs,
        )

    async def notes(self) -> list[str]:
        """Give what a glance at the gateway tells of its configuration, a line each."""
        if self._rolling is None:
            return []
        status, lines = await self._rolling.status(), list[str]()
        if status.running_generation:
            name = f"generation {status.running_generation} ({status.running_source})"
            lines.append(f"{name} of the configuration runs{' on trial' * status.on_trial}")
        elif status.on_trial:
            lines.append(f"{status.file} runs on trial")
        if status.quarantined:
            left_out = f"{len(status.quarantined):,} items of the configuration are left out"
            lines.append(f"{left_out}: see `forebay config show`")
        if status.file_differs:
            lines.append(f"{status.file} is not what runs: see `forebay config diff`")
        return lines

    async def attempts(self, _: pb.AttemptsRequest) -> pb.AttemptsReply:
        """Answer ListAttempts."""
        return pb.AttemptsReply(attempts=map(attempt_message, self._asked().attempts()))

    async def read(self, request: pb.ConfigFilesRequest) -> AsyncGenerator[pb.ConfigPart]:
        """Answer ReadConfig, file after file."""
        contents = await self._asked().contents(request.which)
        for file in described(contents):
            data = contents[file.path] if file.path.endswith(SHOWN) else b""
            yield pb.ConfigPart(
                path=file.path,
                sha256=file.sha256,
                size_bytes=file.size_bytes,
                data=data[:PART_BYTES],
            )
            for start in range(PART_BYTES, len(data), PART_BYTES):
                yield pb.ConfigPart(data=data[start : start + PART_BYTES])

    async def apply(self, parts: AsyncIterator[pb.ConfigPart], who: str) -> pb.AttemptBegun:
        """Answer ApplyConfig: begin with what `who` sends."""
        rolling = self._asked()
        async with self._one:
            try:
                async with asyncio.timeout(SEND_S):
                    contents, reason = await _collected(parts)
            except TimeoutError as error:
                raise RequestFailed(
                    f"it did not come within {SEND_S:g} s", hint="send it again"
                ) from error
            by_hash = {hashlib.sha256(one).digest(): one for one in contents.values()}

            async def content(sha256: bytes) -> bytes:
                return by_hash[sha256]

            offer = Offer(
                files=described(contents),
                content=content,
                offer_id=f"local-{secrets.token_hex(8)}",
                source="local",
                who=who,
                reason=reason[:MAX_REASON_CHARACTERS],
            )
            return pb.AttemptBegun(attempt=await rolling.offer(offer))

    async def rollback(self, request: pb.RollbackRequest, who: str) -> pb.AttemptBegun:
        """Answer RollbackConfig: go back for `who`."""
        reason = request.reason[:MAX_REASON_CHARACTERS]
        return pb.AttemptBegun(attempt=await self._asked().rollback(who, reason))


async def _collected(parts: AsyncIterator[pb.ConfigPart]) -> tuple[dict[str, bytes], str]:
    """Give the files that are sent, and the reason. RequestInvalid if they are too many."""
    found: dict[str, list[bytes]] = {}
    reason, path, size = "", "", 0
    async for part in parts:
        reason = reason or part.reason
        path = part.path or path
        size += len(part.data)
        if size > MAX_BYTES or len(found) > MAX_FILES:
            raise RequestInvalid(
                f"a configuration has at most {MAX_FILES:,} files and {MAX_BYTES >> 20} MiB",
                hint="leave out what the gateway does not need",
            )
        if part.path or part.data:
            found.setdefault(path, []).append(part.data)
    return {name: b"".join(pieces) for name, pieces in found.items()}, reason


def attempt_message(attempt: Attempt) -> pb.ConfigAttempt:
    """Give an attempt as a message."""
    return pb.ConfigAttempt(
        id=attempt.id,
        hash=attempt.hash,
        offer_id=attempt.offer_id,
        source=attempt.source,
        who=attempt.who,
        reason=attempt.reason,
        phase=attempt.phase.value,
        began_ns=attempt.began_ns,
        was=attempt.was,
        generation=attempt.generation,
        error=attempt.error,
        hint=attempt.hint,
        ended_ns=attempt.ended_ns,
        took_s=attempt.took_s,
        changed=attempt.changed,
        remarks=attempt.remarks,
    )
