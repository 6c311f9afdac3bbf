"""Log lines as systemd's journal takes them: the message, its priority, and each field by its name.

Owns how fields are called there: `FOREBAY_` before their names, so that `journalctl -u forebay
FOREBAY_DEVICE=press` finds the lines of one device, and `-p warning` what is wrong. Must not know
which events there are. The protocol is libsystemd's (sd_journal_sendv(3)).
"""

from __future__ import annotations

import json
import os
import re
from typing import IO, TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import EventDict, Processor

PREFIX = "FOREBAY_"
IDENTIFIER = "forebay"
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Of syslog(3), by structlog's names."""
_NOT_OF_NAMES = re.compile(r"[^A-Z0-9_]")
_OWN = ("timestamp", "level")
"""What the journal has fields of its own for."""
_NAME_CHARACTERS = 64
_VALUE_CHARACTERS = 8_192


def is_journal(stream: IO[str], environ: Mapping[str, str]) -> bool:
    """Whether systemd gave us its journal as `stream` (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class JournalLogger:
    """What structlog writes to: one entry a line. Any thread may."""

    def __init__(self, send: Callable[..., None]) -> None:
        """Write with `send`, libsystemd's: keywords are fields. It raises OSError."""
        self._send = send

    def msg(self, text: str, level: str, fields: Mapping[str, Any]) -> None:
        """Write one entry."""
        self._send(
            MESSAGE=text,
            PRIORITY=str(PRIORITIES.get(level, 6)),
            SYSLOG_IDENTIFIER=IDENTIFIER,
            **{field_name(name): _value(value) for name, value in fields.items()},
        )

    log = debug = info = warning = error = critical = exception = fatal = failure = msg


def rendering(keep: Callable[[str], None] | None) -> list[Processor]:
    """Give what makes an entry of an event; `keep` is given each as a line for people, too."""
    plain = structlog.dev.plain_traceback  # without variables, which may hold a password
    whole = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)
    short = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=plain, pad_event_to=0, pad_level=False
    )

    def render(logger: object, name: str, event: EventDict) -> tuple[tuple[Any, ...], EventDict]:
        if keep is not None:
            keep(str(whole(logger, name, dict(event))))
        told = {key: value for key, value in event.items() if key not in _OWN}
        message = str(short(logger, name, dict(told)))
        told.pop("exc_info", None)
        return (message, str(event.get("level", "info")), told), {}

    return [render]


def field_name(name: str) -> str:
    """Give how the journal calls a field: capitals, digits and underscores, at most 64."""
    return (PREFIX + _NOT_OF_NAMES.sub("_", name.upper()))[:_NAME_CHARACTERS]


def _value(value: object) -> str:
    if isinstance(value, (list, tuple, dict)):
        value = json.dumps(value, default=str, ensure_ascii=False)
    return str(value)[:_VALUE_CHARACTERS]
