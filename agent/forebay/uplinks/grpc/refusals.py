"""How a call ended, as one of our errors: gRPC status codes and what a server says about retrying.

Owns that mapping and its hints. Must not know sessions.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, message_factory
from google.protobuf.message import DecodeError

from forebay.callwords import plain
from forebay.errors import UplinkError, UplinkMisbehaved, UplinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

_IDENTITY_HINT = (
    "the server does not accept this gateway: check that its certificate is current, signed by an "
    "authority the server trusts, and that its CN is the gateway's id"
)
_HINTS = {
    grpc.StatusCode.UNAUTHENTICATED: _IDENTITY_HINT,
    grpc.StatusCode.PERMISSION_DENIED: _IDENTITY_HINT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: "the server is at a limit: look at its log and disk",
    grpc.StatusCode.UNAVAILABLE: "check that the server runs and the network reaches its address",
    grpc.StatusCode.DEADLINE_EXCEEDED: "the server is slow or unreachable: check both",
}
_CUT_OFF = "Internal error from Core"
"""gRPC's own words where a write fails because the call has ended: then it never learns why."""
_CUT_OFF_HINT = "it is opened anew by itself; if that is refused, the next line says why"
_OTHER_HINT = "look at the server's log for its reason"
_TLS_HINT = (
    "the TLS handshake failed: check ca against the server's certificate, server_name against its "
    "names, and both machines' clocks"
)
_NAME_HINT = (
    "the server's certificate does not name the host dialled: set server_name to a name it "
    "carries, or issue one with `forebay-fleet ca issue DIR --host HOST`"
)
_EARLY_HINT = (
    "the server's certificate is not valid yet by this machine's clock, which is likely behind: "
    "compare `date` with the true time and start a time service; readings are journaled meanwhile"
)
_LATE_HINT = (
    "the server's certificate has expired, or this machine's clock is ahead: compare `date` with "
    "the true time, then renew the certificate; readings are journaled meanwhile"
)
_CLOSED_HINT = (
    "the server closed the connection during TLS: it may not trust this gateway's certificate "
    "(compare its --client-ca), or one side speaks plaintext"
)
_PEM_HINT = "ca, cert or key is not valid PEM, or the key does not belong to the certificate"
_REASONS = (
    ("hostname verification check failed", _NAME_HINT),
    ("failed to create security handshaker", _PEM_HINT),
    ("certificate is not yet valid", _EARLY_HINT),
    ("certificate has expired", _LATE_HINT),
    ("handshake", _TLS_HINT),
)
"""What gRPC says of a connection that failed, the most telling words first."""
_MISBEHAVIOUR = {
    grpc.StatusCode.UNIMPLEMENTED: "this address serves something else: check host and port",
    grpc.StatusCode.INVALID_ARGUMENT: "server and gateway may differ in version: compare them",
    grpc.StatusCode.FAILED_PRECONDITION: _OTHER_HINT,
    grpc.StatusCode.OUT_OF_RANGE: _OTHER_HINT,
    grpc.StatusCode.DATA_LOSS: "records arrive damaged: look for a proxy that changes them",
}


def from_status(
    code: grpc.StatusCode | None, details: str | None, trailing: Iterable[tuple[str, Any]] | None
) -> UplinkError:
    """Give the error for a call that ended with `code`, `details` and `trailing` metadata.

    A server that knows the next step says it in the trailer `forebay-hint`.
    """
    code = code or grpc.StatusCode.UNKNOWN
    if code is grpc.StatusCode.INTERNAL and _CUT_OFF in (details or ""):
        return UplinkUnavailable(
            "the server ended the session while a message was on its way", hint=_CUT_OFF_HINT
        )
    text = plain(code.name, details)
    if code is grpc.StatusCode.OK:
        text = "the server ended the session"
    if code in _MISBEHAVIOUR:
        return UplinkMisbehaved(text, hint=_MISBEHAVIOUR[code])
    said = [str(value)[:300] for name, value in trailing or () if name == "forebay-hint"]
    hint = said[0] if said else _HINTS.get(code, _OTHER_HINT)
    if code is grpc.StatusCode.UNAVAILABLE:
        hint = _connection_hint(details or "", hint)
    return UplinkUnavailable(text, hint=hint, wait_s=asked_wait_s(trailing or ()))


def _connection_hint(text: str, otherwise: str) -> str:
    """Tell from gRPC's own words why no connection came about; its status does not say.

    A server that refuses a client's certificate closes the socket after the client's part of the
    handshake is done (RFC 8446, section 2: the client's Finished is the last message), so that the
    client sees no alert.
    """
    for reason, hint in _REASONS:
        if reason in text.lower():
            return hint
    if "failed to connect" in text and "Socket closed" in text:
        return _CLOSED_HINT
    return otherwise


def asked_wait_s(trailing: Iterable[tuple[str, Any]]) -> float | None:
    """Give how long a server asks to wait, in seconds, or None.

    Two forms: the trailer `grpc-retry-pushback-ms` (gRPC proposal A6) and google.rpc.RetryInfo in
    `grpc-status-details-bin`. The longer one counts; what cannot be read counts as not there.
    """
    asked: list[float] = []
    for name, value in trailing:
        if name == "grpc-retry-pushback-ms" and str(value).isdecimal():
            asked.append(int(str(value)[:9]) / 1000)
        elif name == "grpc-status-details-bin" and isinstance(value, bytes):
            asked += _retry_infos(value)
    return max(asked, default=None)


def _retry_infos(value: bytes) -> list[float]:
    status_type, retry_type = _google_rpc()
    try:
        status = status_type.FromString(value)
        details = [d for d in status.details if d.type_url.endswith("/google.rpc.RetryInfo")]
        infos = [retry_type.FromString(detail.value) for detail in details]
    except DecodeError:
        return []
    return [max(0.0, i.retry_delay.seconds + i.retry_delay.nanos / 1e9) for i in infos]


@cache
def _google_rpc() -> tuple[Any, Any]:
    """Give the classes of Status and RetryInfo (google/rpc/status.proto, error_details.proto).

    Declared in a pool of their own, so that they cannot clash with a library that brings them.
    """
    field = descriptor_pb2.FieldDescriptorProto
    pool = descriptor_pool.DescriptorPool()
    for known in (any_pb2, duration_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="forebay/google_rpc.proto",
        package="google.rpc",
        syntax="proto3",
        dependency=[any_pb2.DESCRIPTOR.name, duration_pb2.DESCRIPTOR.name],
    )
    status = file.message_type.add(name="Status")
    status.field.add(name="code", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    status.field.add(name="message", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    status.field.add(
        name="details",
        number=3,
        type=field.TYPE_MESSAGE,
        label=field.LABEL_REPEATED,
        type_name=".google.protobuf.Any",
    )
    file.message_type.add(name="RetryInfo").field.add(
        name="retry_delay",
        number=1,
        type=field.TYPE_MESSAGE,
        label=field.LABEL_OPTIONAL,
        type_name=".google.protobuf.Duration",
    )
    pool.Add(file)
    names = ("google.rpc.Status", "google.rpc.RetryInfo")
    first, second = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names
    )
    return first, second
