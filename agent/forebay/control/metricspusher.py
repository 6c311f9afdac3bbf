"""Sends all metrics to a collector of OpenTelemetry, again and again.

Owns when, the connection, and who this gateway is to the collector. Must not know what is told. A
collector that is away stops nothing and loses nothing but points of curves: counters go on, and
`trouble` says so. Each time has a connection of its own, so that files are read anew, and nothing
is kept open through a factory's firewall.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import grpc

from forebay.callwords import plain
from forebay.cancellation import StrayCancellation, strict
from forebay.control.exposition import every
from forebay.control.pausing import pause
from forebay.errors import ForebayError
from forebay.events import METRICS_UNSENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from forebay.config.otlp import OtlpSettings
    from forebay.control.figures import Sight
    from forebay.interfaces import Seams

    Look = Callable[[], Awaitable[Sight]]

DEADLINE_S = 10.0
"""How long the collector may take to connect and answer."""
ANSWER_BYTES = 64 << 10
FILE_BYTES = 1 << 20
_OPTIONS = (
    ("grpc.max_receive_message_length", ANSWER_BYTES),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
EXTRA_MISSING = "what makes messages of OTLP is not installed"
PEER_HINT = (
    "is it there, and a collector for OTLP over gRPC? does [metrics.otlp] have what its TLS needs?"
)


class _Trouble(NamedTuple):
    """Why a collector was not told, empty if it was, and the next step."""

    why: str
    hint: str


NONE = _Trouble("", "")


class MetricsPusher:
    """Of one agent. `run` until cancelled; `follow` when the configuration changes."""

    def __init__(
        self, look: Look, counted: CollectorRegistry, settings: OtlpSettings | None, seams: Seams
    ) -> None:
        """Tell as `settings` say, whose paths are absolute; None: nobody.

        Each time it tells what `look` sees, and the counters of events, which `counted` has.
        """
        self._look, self._counted = look, counted
        self._settings, self._seams = settings, seams
        self._news = asyncio.Event()
        self._since_ns = seams.clock.now_ns()
        self.trouble = ""
        """Why the collector was not told the last time, for a person; empty if it was."""

    def follow(self, settings: OtlpSettings | None) -> None:
        """Tell whom another configuration says."""
        self._settings = settings
        self._news.set()

    async def run(self) -> None:
        """Tell a collector while the configuration says so."""
        while True:
            self._news.clear()
            settings = self._settings
            if settings is None:
                self.trouble = ""
                await self._news.wait()
                continue
            # Boxes that began together do not speak together.
            await pause(self._news, self._seams.clock, settings.every * self._seams.rng.random())
            while not self._news.is_set():
                self._note(settings, await self._tell(settings))
                await pause(self._news, self._seams.clock, settings.every)

    def _note(self, settings: OtlpSettings, found: _Trouble) -> None:
        why, hint = found
        if why and not self.trouble:
            self._seams.events.emit(METRICS_UNSENT, address=settings.address, error=why, hint=hint)
        self.trouble = why and f"cannot tell {settings.address}: {why} ({hint})"

    async def _tell(self, settings: OtlpSettings) -> _Trouble:
        """Tell it once."""
        try:
            seen = await self._look()
            about = {
                "service.name": "forebay",
                "service.instance.id": seen.status.gateway,
                "service.version": seen.status.version,
            }
            token, trusted = await asyncio.to_thread(_read, settings)
            return await self._send(settings, await self._made(seen, about), token, trusted)
        except ForebayError:
            return NONE  # while there is no journal to tell of; `forebay status` says so
        except ModuleNotFoundError:
            return _Trouble(EXTRA_MISSING, "pip install 'forebay[otlp]'")
        except grpc.aio.AioRpcError as error:
            return _Trouble(plain(error.code().name, error.details()), PEER_HINT)
        except StrayCancellation as error:
            return _Trouble(str(error)[:200], PEER_HINT)
        except (OSError, ValueError) as error:
            return _Trouble(str(error)[:200], "look at the disk, and at what [metrics.otlp] names")

    async def _made(self, seen: Sight, about: dict[str, str]) -> bytes:
        now_ns = self._seams.clock.now_ns()
        self._since_ns = min(self._since_ns, now_ns)  # of a clock that was set back since

        def make() -> bytes:
            from forebay.control.otlp import message  # the extra `otlp`

            found = every(seen, self._counted)
            return message(found, about, self._since_ns, now_ns)

        return await asyncio.to_thread(make)

    async def _send(
        self,
        settings: OtlpSettings,
        body: bytes,
        token: str,
        trusted: grpc.ChannelCredentials | None,
    ) -> _Trouble:
        from forebay.control.otlp import METHOD, refusal

        if trusted is None:
            channel = grpc.aio.insecure_channel(settings.address, _OPTIONS)
        else:
            channel = grpc.aio.secure_channel(settings.address, trusted, _OPTIONS)
        try:
            export: Callable[..., Awaitable[bytes]] = channel.unary_unary(METHOD)
            answer = await strict(
                export,
                body,
                timeout=DEADLINE_S,
                metadata=(("authorization", f"Bearer {token}"),) if token else (),
                compression=grpc.Compression.Gzip,
            )
        finally:
            await channel.close()
        return _Trouble(refusal(answer), "look at the collector's log")


def _read(settings: OtlpSettings) -> tuple[str, grpc.ChannelCredentials | None]:
    """Give the token, empty for none, and what TLS needs, None for no TLS. Blocks.

    OSError, ValueError: a file cannot be read, or does not fit.
    """
    if settings.plaintext:
        return "", None
    raw = (_content(settings.token) or b"").strip()
    token = raw.decode("ascii", "replace")
    if not token.isprintable() or not token.isascii():
        raise ValueError(f"{settings.token} is not one line of plain characters")
    return token, grpc.ssl_channel_credentials(
        _content(settings.ca), _content(settings.key), _content(settings.certificate)
    )


def _content(path: Path | None) -> bytes | None:
    if path is None:
        return None
    with path.open("rb") as file:
        return file.read(FILE_BYTES)
