"""An offer becomes a generation: its files are got, checked, and whole on disk.

Owns the way from RECEIVED to STAGED; nothing that runs is touched. Must not know the running agent,
nor what becomes of the generation.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.config.bundle import config_hash
from forebay.errors import ConfigError, GenerationDamaged, RequestFailed, RequestInvalid
from forebay.management.finishing import finished

if TYPE_CHECKING:
    from forebay.config.attempts import Offer
    from forebay.config.bundle import File
    from forebay.management.generations import Generations
    from forebay.management.validating import Validated

Validate = Callable[[Path, Sequence[str]], Awaitable["Validated"]]
FETCH_S = 600.0
SLOWEST_BYTES_PER_S = 1_000.0
"""How long the files of one configuration may take to come: so long, and by their size on a line
that is hardly one."""


class Staging:
    """Makes generations of offers."""

    def __init__(self, generations: Generations, validate: Validate) -> None:
        """`validate` judges a main file that nobody runs yet."""
        self._generations, self._validate = generations, validate

    async def fill(self, number: int, offer: Offer) -> None:
        """Have every file of `offer` on disk, those that are here already from here.

        What came before it was broken off is not asked for again.

        Raises:
            RequestInvalid: the content that came is not what the offer says.
            RequestFailed: it did not come, or the disk did not take it.
            ForebayError: what `Offer.content` raises.
        """
        generations = self._generations
        size_bytes = sum(file.size_bytes for file in offer.files)
        longest_s = FETCH_S + size_bytes / SLOWEST_BYTES_PER_S
        try:
            async with asyncio.timeout(longest_s):
                there = await finished(generations.begin, number, offer.files)
                known = await finished(generations.known)
                for file in offer.files:
                    if file.path in there:
                        continue
                    content = await finished(generations.find, known, file.sha256)
                    if content is None:
                        content = await offer.content(file.sha256)
                    _check(file, content)
                    await finished(generations.put, number, file, content)
        except TimeoutError as error:
            raise RequestFailed(
                f"its files did not come within {longest_s:.0f} s", hint="it is asked for again"
            ) from error
        except OSError as error:
            raise _refused(error) from error

    async def check(self, number: int, working: Sequence[str]) -> None:
        """Judge what `fill` put there. Raises ConfigError, RequestFailed."""
        found = await self._validate(self._generations.place(number) / "forebay.toml", working)
        if found.faults:
            raise ConfigError(found.faults)

    async def seal(self, number: int, offer: Offer) -> None:
        """Make it a whole generation, and be sure of it. Raises RequestFailed."""
        try:
            await finished(self._generations.seal, number, offer.files)
            found = await finished(self._generations.check, number)
        except OSError as error:
            raise _refused(error) from error
        except GenerationDamaged as error:
            raise RequestFailed(str(error), hint=error.hint) from error
        if found != config_hash(offer.files):
            raise RequestFailed("the disk does not give what it took", hint="check the disk")


def _check(file: File, content: bytes) -> None:
    if len(content) != file.size_bytes or hashlib.sha256(content).digest() != file.sha256:
        raise RequestInvalid(
            f"the content of {file.path} is not what was offered", hint="offer it as it is"
        )


def _refused(error: OSError) -> RequestFailed:
    return RequestFailed(
        f"the state directory does not take it: {error.strerror or error}",
        hint="free some space there, or check the disk",
    )
