"""What an OPC UA device's files say by themselves, and what is still to be given.

Owns every check of certificates that needs no server. Must not know asyncua.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from forebay.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from forebay.drivers.opcua.config import OpcUaSettings
    from forebay.interfaces import DeviceSpec

_CERTIFICATES = ("certificate", "server_certificate", "user_certificate")


def check(spec: DeviceSpec) -> Iterator[Fault]:
    """See `DriverSpec.check`.

    What time alone brings about, and what only the server can tell, is no reason not to start.
    """
    settings = cast("OpcUaSettings", spec.settings)
    if not settings.enabled:
        return
    place = f"devices.{spec.name}"
    if settings.security_policy != "None" and settings.server_certificate is None:
        yield Fault(
            f"{place}.server_certificate",
            "is not given, and no server is trusted without it",
            "start the agent: its log tells the fingerprint of the one that the server shows, and "
            'where it was saved; or write security_policy = "None" to send all in the clear',
            stops=False,
        )
    for name in _CERTIFICATES:
        path = getattr(settings, name)
        if path is not None:
            yield from _certificate_faults(path, f"{place}.{name}")


def _certificate_faults(path: Path, place: str) -> Iterator[Fault]:
    from forebay.drivers.opcua.identity import loaded

    try:
        certificate = loaded(path.read_bytes())
    except OSError:
        return  # told by whoever looks after named files
    except ValueError:
        yield Fault(place, "holds no certificate", "name a PEM or DER file")
        return
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        ended = f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
        yield Fault(place, ended, "renew it", stops=False)
    elif now < certificate.not_valid_before_utc:
        begins = f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
        yield Fault(place, begins, "compare this machine's clock", stops=False)
