"""Sets up what makes a server the authority of its fleet: the office, its two services, their port.

Owns the order of that, and what commands beside the server are told of it. Must not know rules.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import grpc
import structlog
from cryptography import x509

from forebay_fleet.artifacts.keeping import keep
from forebay_fleet.artifacts.published import Published
from forebay_fleet.carried import sealing
from forebay_fleet.desired import signing
from forebay_fleet.desired.hub import Hub
from forebay_fleet.desired.shadows import Shadowing, Shadows
from forebay_fleet.errors import CertificateError, UsageError
from forebay_fleet.fleetservice import FleetService
from forebay_fleet.identity import authorities, pinning
from forebay_fleet.identity.challenge import Challenges
from forebay_fleet.identity.enrollment import MAX_CALLS, OPTIONS, EnrollmentService
from forebay_fleet.identity.office import CERTIFICATE_S, Office, Terms
from forebay_fleet.listening import listen
from forebay_fleet.rollouts import engine as rollouts

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from pathlib import Path

    from forebay_fleet.identity.door import Door
    from forebay_fleet.registry import RegistryThread
    from forebay_fleet.tls import Credentials

STOP_GRACE_S = 2.0
ENROLLMENT = "enrollment"
"""Fact of the registry: where boxes enroll."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """What makes a server the authority of its fleet.

    `host` is where boxes find it, by default the first name of its certificate.
    """

    listen: str
    host: str | None = None
    valid_s: float = CERTIFICATE_S


class Running(NamedTuple):
    """The server that this is added to: not started yet, on `port`."""

    server: grpc.aio.Server
    port: int
    registry: RegistryThread
    door: Door
    stopping: asyncio.Event
    data: Path


class Opened(NamedTuple):
    """What else the server's parts work with; None where no box can enroll."""

    hub: Hub | None
    published: Published | None


async def open_fleet(
    stack: AsyncExitStack, settings: FleetSettings, files: Credentials, running: Running
) -> Opened:
    """Listen for enrollments until the stack unwinds, and add `Fleet` to the server.

    Raises:
        CertificateError: no authority that can sign.
        UsageError: an address that cannot be listened on.
    """
    folder = files.authorities
    if folder is None:
        raise UsageError("enrollment needs an authority that signs", hint="add --ca DIR")
    own = x509.load_pem_x509_certificate(files.read()[1])
    pin = await asyncio.to_thread(pinning.pin, files, folder)
    host = settings.host or _first_name(own)
    challenges = Challenges(time.monotonic)
    signer = await asyncio.to_thread(signing.load, running.data)
    keys = (signer.public,)
    unsealer = await asyncio.to_thread(sealing.load, running.data)
    address = f"{_bracketed(host)}:{running.port}"
    published = Published(running.data)
    roots = published.root, published.root_since_ns
    terms = Terms(address, settings.valid_s, keys, *roots, unsealer.public)
    office = Office(partial(authorities.load, folder), terms, challenges, time.time_ns)
    hub = Hub(running.registry, running.stopping)
    await hub.open()
    shadows = await stack.enter_async_context(Shadows(running.data))
    hub.makes.append(partial(Shadowing, shadows))
    watching = asyncio.create_task(hub.watch(), name="hub.watch")
    stack.push_async_callback(hub.close)
    stack.callback(watching.cancel)
    await rollouts.prepare(running.registry)
    engine = rollouts.Engine(running.registry, rollouts.Tools(signer, published), running.stopping)
    rolling = asyncio.create_task(engine.run(), name="rollouts.engine")
    stack.callback(rolling.cancel)
    service = FleetService(running.registry, office, running.door, hub, published)
    renewing = asyncio.create_task(keep(published, running.stopping), name="artifacts.keep")
    stack.callback(renewing.cancel)
    service.add_to(running.server)
    server = grpc.aio.server(maximum_concurrent_rpcs=MAX_CALLS, options=OPTIONS)
    enrollment = EnrollmentService(running.registry, office, challenges, time.monotonic)
    enrollment.add_to(server)
    port = listen(server, settings.listen, files, mutual=False)
    await running.registry(lambda registry: registry.tell(pinning.PIN, pin))
    following = pinning.follow(files, folder, running.registry, pin)
    stack.callback(asyncio.create_task(following, name="tokens.pin").cancel)
    place = f"{_bracketed(host)}:{port}"
    await running.registry(lambda registry: registry.tell(ENROLLMENT, place))
    await server.start()
    stack.push_async_callback(server.stop, STOP_GRACE_S)
    _log.info("enrollment_open", port=port, address=place)
    return Opened(hub, published)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _first_name(certificate: x509.Certificate) -> str:
    """Give the first host that a server certificate names. CertificateError if it names none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return str(next(iter(names)).value)
    except (x509.ExtensionNotFound, StopIteration):
        raise CertificateError(
            "the server's certificate names no host", hint="add --host NAME to serve"
        ) from None
