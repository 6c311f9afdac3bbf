"""What local commands would show of a running agent, all of it, for a diagnostics bundle.

Owns which answers these are. Must not know what becomes of them.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from forebay.errors import RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.control.view import AgentView

MAX_SEGMENTS = 10_000
PLUGIN_LINES = 200


async def sections(view: AgentView) -> Mapping[str, Any]:
    """Give each answer by its name, as JSON can hold it."""
    found: dict[str, Any] = {
        "status": asdict(view.status()),
        "devices": [asdict(one) for one in view.devices()],
        "uplinks": [asdict(one) for one in view.uplinks()],
        "journal": asdict(await view.journal_status()),
        "segments": [asdict(one) for one in [*await view.segments()][-MAX_SEGMENTS:]],
        "ledger": [asdict(one) for one in await view.ledger()],
    }
    plugins = [*view.plugins.statuses()]
    found["plugins"] = [asdict(one) for one in plugins]
    for one in plugins:
        with suppress(RequestInvalid):  # it does not run
            lines = view.plugins.log(one.name, 0, PLUGIN_LINES)
            found[f"plugin-{one.name}"] = [line.text for line in lines]
    if view.config is not None:
        found["configuration"] = asdict(await view.config.status())
        found["attempts"] = [asdict(one) for one in view.config.attempts()]
    return found
