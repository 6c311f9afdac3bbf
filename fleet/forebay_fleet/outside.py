"""What people and their programs ask, beside the port of gateways: the page, REST, values by gRPC.

Owns in which order that is opened. Must not know what is asked.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet.access import trail
from forebay_fleet.errors import UsageError
from forebay_fleet.rpc.serving import open_values
from forebay_fleet.values.offer import open_offer

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from forebay_fleet.identity.opening import Opened
    from forebay_fleet.registry import RegistryThread
    from forebay_fleet.server import ServerSettings
    from forebay_fleet.session import Desk
    from forebay_fleet.values.offer import Offer


class Inside(NamedTuple):
    """What of the server is asked."""

    desk: Desk
    registry: RegistryThread
    opened: Opened


async def open_outside(stack: AsyncExitStack, settings: ServerSettings, inside: Inside) -> None:
    """Open the ports that are wanted until the stack unwinds.

    Raises:
        UsageError: an address that cannot be listened on, or a library that is not installed.
        CertificateError: certificate files that cannot be used.
    """
    if settings.web is None and settings.values is None:
        return
    await inside.registry(trail.prepare)
    offer = await open_offer(stack, settings.data, inside.desk.stopping)
    if settings.values is not None:
        await open_values(stack, settings.values, settings.credentials, offer, inside.registry)
    if settings.web is not None:
        await _open_web(stack, settings, inside, offer)


async def _open_web(
    stack: AsyncExitStack, settings: ServerSettings, inside: Inside, offer: Offer
) -> None:
    """Open the page. UsageError if what it is made of is not installed."""
    assert settings.web is not None
    try:
        from forebay_fleet.access.signing_in import SigningIn
        from forebay_fleet.http.context import Context
        from forebay_fleet.http.serving import WebSettings, open_site
    except ImportError as error:
        raise UsageError(
            f"the page needs more libraries: {error.name} is missing",
            hint="install: pip install 'forebay[web]'",
        ) from None
    desk, registry, opened = inside
    context = Context(
        *(settings.data, registry, offer, desk, SigningIn(registry), time.time_ns),
        *(opened.hub, opened.published),
    )
    await open_site(stack, WebSettings(settings.web, settings.credentials, settings.oidc), context)
