"""Where log lines go: standard error, for people or for collectors, or systemd's journal.

Owns structlog's configuration and the bridge from the standard library's loggers, which protocol
libraries use. Must not know which events there are. Called once, by `forebay run`.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, cast

import structlog

from forebay.cli.journald import JournalLogger, rendering

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import Processor


def set_up(
    level: str,
    *,
    as_json: bool,
    keep: Callable[[str], None] | None = None,
    send: Callable[..., None] | None = None,
) -> None:
    """Write every line from `level` (debug, info, warning or error) on to standard error.

    `keep` is given each line as well. With `send` they go there instead, with their fields: see
    `journald`.

    Libraries are heard from `warning` on: below, they speak of single requests.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *_rendering(as_json=as_json, keep=keep, send=send),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=_factory(send),
        cache_logger_on_first_use=False,  # or a level set later would not reach those that log
    )
    logging.captureWarnings(capture=True)
    logging.basicConfig(level=max(least, logging.WARNING), handlers=[_ToStructlog()], force=True)


def _factory(send: Callable[..., None] | None) -> Callable[..., object]:
    if send is None:
        return structlog.WriteLoggerFactory(file=sys.stderr)
    to_journal = JournalLogger(send)
    return lambda *_: to_journal


def _rendering(
    *, as_json: bool, keep: Callable[[str], None] | None, send: Callable[..., None] | None
) -> list[Processor]:
    if send is not None:
        return rendering(keep)
    return [*_lines(as_json=as_json), *([_keeping(keep)] if keep is not None else [])]


def _lines(*, as_json: bool) -> list[Processor]:
    # Without the variables of each frame, which structlog adds unless told not to: they may hold a
    # password or a token.
    if as_json:
        told = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return [structlog.processors.ExceptionRenderer(told), structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]


def _keeping(keep: Callable[[str], None]) -> Processor:
    def kept(_: object, __: str, line: str) -> str:  # the last one: it is rendered
        keep(line)
        return line

    return cast("Processor", kept)


class _ToStructlog(logging.Handler):
    """Hands a library's record on, with the library's name."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        try:
            structlog.get_logger().log(
                record.levelno,
                record.getMessage(),
                library=record.name,
                **({"exc_info": record.exc_info} if record.exc_info else {}),
            )
        except (TypeError, ValueError):  # a library's format string that does not fit its values
            self.handleError(record)
