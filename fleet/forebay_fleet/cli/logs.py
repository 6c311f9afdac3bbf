"""The log of commands that stay."""

from __future__ import annotations

import sys
from typing import Any


def configure_log() -> None:
    """Log to stderr, for people on a terminal and as JSON lines elsewhere."""
    import structlog

    console = sys.stderr.isatty()
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
