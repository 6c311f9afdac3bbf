"""Decides who gets a certificate: enrollment, renewal, recovery, and when there are two of a box.

Owns these rules; each decision is one transaction of the registry. Must not know gRPC.

**Generations.** Each certificate of a gateway counts one up and says its number itself. A renewal
from any other than the newest shows that there are two boxes: both are locked. One case is none: a
box whose answer was lost asks again with the very key that the newest certificate is of, and gets
that certificate again.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from cryptography.hazmat.primitives import serialization

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.errors import CertificateError
from forebay_fleet.identity import gateways, tokens
from forebay_fleet.identity.gateways import Denied, GatewayRow
from forebay_fleet.identity.refused import Refused, bad_token, invalid, locked
from forebay_fleet.identity.requests import (
    BOUND_KEY_BYTES,
    Request,
    check_proof,
    not_proved,
    read_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay_fleet.db.database import Database
    from forebay_fleet.identity.authorities import Authorities
    from forebay_fleet.identity.challenge import Challenges
    from forebay_fleet.registry import Registry

CERTIFICATE_S = 30 * 86_400.0
MOST_GENERATIONS = 1 << 62
LOOK_NS = 5 * 10**9
"""How soon another set of authorities is noticed, at most."""
LATE_SHARE = 0.35
"""What of a certificate's time is left when the server asks for its renewal: a box that is well has
renewed it by then."""
RECOVERIES = 1
"""Recoveries that a box has between two regular renewals."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Terms:
    """What every box is given with its certificate: see `fleet.proto`, Identity."""

    address: str
    valid_s: float = CERTIFICATE_S
    signing_keys: tuple[bytes, ...] = ()
    root: Callable[[], bytes] = bytes
    root_since_ns: Callable[[], int] = int
    """When there first was a root, since 1970; 0: there is none."""
    sealing_key: bytes = b""


class Office:
    """All methods block, and run on the registry's thread."""

    def __init__(
        self,
        authorities: Callable[[], Authorities],
        terms: Terms,
        challenges: Challenges,
        now_ns: Callable[[], int],
    ) -> None:
        """`authorities` is asked each time, so that a rotation needs no restart."""
        self._authorities, self._terms = authorities, terms
        self._challenges, self._now_ns = challenges, now_ns
        self._seen = (-LOOK_NS, "")

    def enroll(self, registry: Registry, asked: fleet_pb2.EnrollRequest) -> fleet_pb2.Identity:
        """Use a token. Raises Refused."""
        name = asked.gateway
        request = read_request(asked.csr, name)
        if len(asked.bound_key) != BOUND_KEY_BYTES:
            raise invalid("the bound key has 32 bytes")
        now_ns = self._now_ns()
        with registry.transaction() as db:
            known = gateways.get(db, name)
            token = tokens.redeem(db, asked.token, name, request.key, now_ns)
            if token.again and known is not None and hmac.compare_digest(known.key, request.key):
                return self._identity(known)
            if token.again:
                raise bad_token()
            shut = gateways.denied(db, name)
            if known is not None and not token.replaces:
                raise Refused(
                    "known",
                    "ALREADY_EXISTS",
                    f"there is a gateway {name} already",
                    hint="if this box replaces it: token create --gateway ID --replace",
                )
            if shut is not None and not token.replaces:
                raise shut.refusal()
            gateways.allow(db, name)
            generation = known.generation + 1 if known else 1
            row = self._issue(request, name, generation)._replace(
                bound_key=asked.bound_key, enrolled_ns=now_ns
            )
            # Nothing that the box before had is good any more, nor a certificate made by hand.
            row = row._replace(floor=generation if token.replaces else 0)
            gateways.put(db, row)
        _log.info("gateway_enrolled", gateway=name, generation=generation, replaces=token.replaces)
        return self._identity(row)

    def behind(self, registry: Registry, name: str, generation: int) -> bool:
        """Whether a box should renew: its certificate, or what it trusts, is not the newest."""
        with registry.reading() as db:
            known = gateways.get(db, name)
        if known is None or not generation:
            return False
        if generation < known.generation:
            return True
        # A box whose clock is slow does not see its certificate end.
        if known.expires_ns - self._now_ns() < LATE_SHARE * self._terms.valid_s * 1e9:
            return True
        issued_ns = known.expires_ns - round(self._terms.valid_s * 1e9)
        if issued_ns < self._terms.root_since_ns():
            return True  # its identity has no root yet: it could take no packages
        trusted = self._trusted()
        return bool(trusted) and known.trusts != trusted

    def _trusted(self) -> str:
        """Give the names of the authorities as of late; empty while they cannot be read."""
        now_ns = self._now_ns()
        then_ns, names = self._seen
        if not 0 <= now_ns - then_ns < LOOK_NS:
            try:
                names = self._authorities().names
            except CertificateError as error:  # it cannot sign, and boxes may connect all the same
                _log.error("authority_unusable", error=str(error), hint=error.hint)
                names = ""
            self._seen = now_ns, names
        return names

    def renew(
        self, registry: Registry, name: str, generation: int, asked: fleet_pb2.RenewRequest
    ) -> fleet_pb2.Identity:
        """Give the next certificate to who showed one of this generation. Raises Refused."""
        request = read_request(asked.csr, name)
        if asked.generation != generation:
            raise invalid("the generation asked for is not that of the certificate shown")
        with registry.transaction() as db:
            row = self._next(db, name, generation, request, recovering=False)
        if row is None:
            raise self._clone(registry, name, generation)
        _log.info("gateway_renewed", gateway=name, generation=row.generation)
        return self._identity(row)

    def recover(self, registry: Registry, asked: fleet_pb2.RecoverRequest) -> fleet_pb2.Identity:
        """Give the next certificate to who has the bound key. Raises Refused."""
        name = asked.gateway
        request = read_request(asked.csr, name)
        if asked.generation >= MOST_GENERATIONS or not self._challenges.good(asked.nonce, name):
            raise not_proved()
        with registry.transaction() as db:
            known = gateways.get(db, name)
            key = known.bound_key if known else bytes(BOUND_KEY_BYTES)
            check_proof(key, asked.nonce, asked.csr, asked.generation, asked.signature)
            if known is None or self._challenges.full:
                raise not_proved()
            self._challenges.use(asked.nonce)
            row = self._next(db, name, asked.generation, request, recovering=True)
        if row is None:
            raise self._clone(registry, name, asked.generation)
        _log.info("gateway_recovered", gateway=name, generation=row.generation)
        return self._identity(row)

    def _next(
        self,
        db: Database,
        name: str,
        generation: int,
        request: Request,
        *,
        recovering: bool,
    ) -> GatewayRow | None:
        """Give what is next for a box, None if there are two of it."""
        shut = gateways.denied(db, name)
        if shut is not None:
            raise shut.refusal()
        known = gateways.get(db, name)
        if known is None:
            raise Refused(
                "unknown",
                "NOT_FOUND",
                f"no gateway {name} is enrolled here",
                hint="enroll it: forebay-fleet token create",
            )
        if generation < known.floor:
            raise replaced(name)
        if generation == known.generation - 1 and hmac.compare_digest(known.key, request.key):
            return known  # the answer was lost, or the box's power was cut
        if generation < known.generation:
            return None
        # A higher one was signed by the authority, or by the bound key: this registry is from a
        # backup.
        if recovering and known.recoveries >= RECOVERIES:
            raise Refused(
                "budget",
                "FAILED_PRECONDITION",
                f"{name} has recovered before, and not renewed since",
                hint="enroll anew: forebay-fleet token create --gateway ID --replace",
            )
        row = self._issue(request, name, generation + 1)._replace(
            bound_key=known.bound_key,
            floor=known.floor,
            enrolled_ns=known.enrolled_ns,
            recoveries=known.recoveries + 1 if recovering else 0,
        )
        gateways.put(db, row)
        return row

    def _clone(self, registry: Registry, name: str, generation: int) -> Refused:
        """Lock both boxes of this name; give the no."""
        with registry.transaction() as db:
            known = gateways.get(db, name)
            newest = known.generation if known else 0
            reason = f"two boxes have its identity: generations {generation} and {newest}"
            gateways.deny(db, Denied(name, "locked", reason, self._now_ns()))
        _log.error("gateway_locked", gateway=name, generation=generation, newest=newest)
        refusal = locked(name, reason)
        refusal.code = "clone"
        return refusal

    def _issue(self, request: Request, name: str, generation: int) -> GatewayRow:
        authorities = self._authorities()
        certificate = authorities.sign(request.public_key, name, generation, self._terms.valid_s)
        return GatewayRow(
            name=name,
            bound_key=b"",
            generation=generation,
            floor=0,
            key=request.key,
            certificate=certificate.public_bytes(serialization.Encoding.DER),
            expires_ns=int(certificate.not_valid_after_utc.timestamp()) * 10**9,
            trusts=authorities.names,
            recoveries=0,
            enrolled_ns=0,
            renewed_ns=self._now_ns(),
        )

    def _identity(self, row: GatewayRow) -> fleet_pb2.Identity:
        trusted = self._authorities().trusted
        return fleet_pb2.Identity(
            certificate=row.certificate,
            authorities=[one.public_bytes(serialization.Encoding.DER) for one in trusted],
            generation=row.generation,
            signing_keys=self._terms.signing_keys,
            address=self._terms.address,
            root=self._terms.root(),
            sealing_key=self._terms.sealing_key,
        )


def replaced(name: str) -> Refused:
    """Give the no to a box whose id another one has taken over."""
    return Refused(
        "replaced",
        "PERMISSION_DENIED",
        f"another box has taken over the id {name}",
        hint="give this box an id of its own, and a token",
    )
