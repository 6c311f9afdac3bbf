"""Looks after the running agent for a person at the box: a part anew, more of the log, a bundle.

Owns that each is on record before it is done. Must not know how a question reached it.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING

from forebay.clock import stamp
from forebay.errors import JournalFull, RequestFailed, RequestInvalid
from forebay.writing.audit import COMMANDS, INTENT, OUTCOME, Deed, to_batch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from forebay.interfaces import Seams
    from forebay.management.diagnosis import Diagnosis
    from forebay.management.loglevel import LogLevel
    from forebay.management.runtime import Runtime

AUDIT_S = 10.0
PART_BYTES = 1 << 20
FOLDER = "support"


class Tending:
    """Of one agent. Implements `config.tended.Tending`."""

    def __init__(
        self, runtime: Runtime, level: LogLevel, diagnosis: Diagnosis, seams: Seams
    ) -> None:
        """Do nothing yet."""
        self._runtime, self._level = runtime, level
        self._diagnosis, self._seams = diagnosis, seams
        self._one = asyncio.Lock()

    async def restart(self, part: str, who: str) -> None:
        """See `config.tended.Tending.restart`."""
        deed = await self._intend("restart", part, who)
        if part == "agent":
            await self._ended(deed)
            self._runtime.again()
            return
        if not await self._runtime.restart(part):
            await self._ended(deed, "refused")
            raise RequestInvalid(
                f"there is no {part[:128]!r} that runs",
                hint="write agent, or device, uplink or plugin and its name",
            )
        await self._ended(deed)

    async def log_level(self, level: str, for_s: float, who: str) -> None:
        """See `config.tended.Tending.log_level`."""
        deed = await self._intend("log-level", f"{level[:32]} for {for_s:g} s", who)
        try:
            self._level.ask(level, for_s)
        except RequestInvalid:
            await self._ended(deed, "refused")
            raise
        await self._ended(deed)

    def log(self, after: int, limit: int) -> list[tuple[int, str]]:
        """See `config.tended.Tending.log`."""
        return self._diagnosis.tail.after(after, limit)

    async def support(self, who: str, doctor: str = "") -> AsyncGenerator[bytes]:
        """See `config.tended.Tending.support`."""
        try:
            found = json.loads(doctor) if doctor else None
        except ValueError:
            raise RequestInvalid("what the doctor found is no JSON", hint="leave it out") from None
        if self._one.locked():
            raise RequestFailed("a bundle is being made", hint="try again in a minute")
        async with self._one:
            deed = await self._intend("bundle", "", who)
            async with aclosing(self._bundle(deed, found)) as pieces:
                async for piece in pieces:
                    yield piece
            await self._ended(deed)

    async def _bundle(self, deed: Deed, doctor: object) -> AsyncGenerator[bytes]:
        path = self._runtime.loaded.state / FOLDER / "support.tar.gz"
        try:
            await asyncio.to_thread(_clear, path)
            await self._diagnosis.make(path, {} if doctor is None else {"doctor": doctor})
            file = await asyncio.to_thread(path.open, "rb")
            try:
                while piece := await asyncio.to_thread(file.read, PART_BYTES):
                    yield piece
            finally:
                file.close()
        except OSError as error:
            await self._ended(deed, "refused")
            raise RequestFailed(
                f"{path} cannot be written: {error.strerror}", hint="check the disk"
            ) from error
        finally:
            path.unlink(missing_ok=True)

    async def _intend(self, action: str, target: str, who: str) -> Deed:
        id_ = f"{self._seams.rng.getrandbits(64):016x}"
        deed = Deed(id_, INTENT, action, target[:256], "", who, "")
        if not await self._on_record(deed):
            raise RequestFailed(
                "the audit could not be written", hint="see `forebay journal status`: the disk"
            )
        return deed

    async def _ended(self, deed: Deed, outcome: str = "done") -> None:
        await self._on_record(deed._replace(step=OUTCOME, outcome=outcome))

    async def _on_record(self, deed: Deed) -> bool:
        try:
            async with asyncio.timeout(AUDIT_S):
                batch = to_batch(deed, stamp(self._seams.clock), COMMANDS)
                await self._runtime.pipeline.commit(batch)
        except (TimeoutError, JournalFull):
            return False
        return True


def _clear(path: Path) -> None:
    """Make room for a new file; one may be left of an agent that was killed."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
