"""How parts that come and go get their tasks."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

Start = Callable[[str, Coroutine[object, object, None]], "asyncio.Task[None]"]
"""Makes a task of this name, in the agent's TaskGroup."""
