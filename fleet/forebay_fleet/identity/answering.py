"""How a no goes over gRPC, and who asks: the edge between rules and calls.

Owns the trailers of a refusal and what is read from a client's certificate. Must not know rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import grpc
import grpc.aio
from cryptography import x509
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from forebay_fleet.identity.refused import Refused

    Context = grpc.aio.ServicerContext[Any, Any]

CODE, HINT, PUSHBACK = "forebay-code", "forebay-hint", "grpc-retry-pushback-ms"


class Caller(NamedTuple):
    """Whom a client's certificate names; generation 0: it was made by hand."""

    name: str
    generation: int


async def refuse(context: Context, refused: Refused, wait_s: float = 0.0) -> NoReturn:
    """End a call with `refused`; it should not come again before `wait_s`."""
    trailers = [(CODE, refused.code), (HINT, refused.hint)]
    if wait_s > 0:
        trailers.append((PUSHBACK, str(round(wait_s * 1000))))
    await context.abort(grpc.StatusCode[refused.status], str(refused), tuple(trailers))
    raise AssertionError


def caller(context: Context) -> Caller:
    """Give who calls; a name that no gateway has if the certificate does not name exactly one."""
    found = [*(context.auth_context().get("x509_pem_cert") or ())]
    if len(found) != 1:
        return Caller("", 0)
    try:
        subject = x509.load_pem_x509_certificate(bytes(found[0])).subject
        names = [one.value for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        numbers = [one.value for one in subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)]
    except ValueError:
        return Caller("", 0)
    number = str(numbers[0]) if len(numbers) == 1 else ""
    generation = int(number) if number.isdecimal() and len(number) < 19 else 0
    return Caller(str(names[0]) if len(names) == 1 else "", generation)
