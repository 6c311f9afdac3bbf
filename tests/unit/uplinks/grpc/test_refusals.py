"""Every gRPC status becomes one of our errors, and a server's wish to wait is read."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from forebay.errors import UplinkMisbehaved, UplinkUnavailable
from forebay.uplinks.grpc.refusals import asked_wait_s, from_status

MISBEHAVED = {
    "UNIMPLEMENTED",
    "INVALID_ARGUMENT",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "DATA_LOSS",
}
# google.rpc.Status{code: 14, details: [Any{RetryInfo{retry_delay: 3.5 s}}]}, field by field.
RETRY_3_5_S = (
    b"\x08\x0e\x1a\x36\x0a\x28type.googleapis.com/google.rpc.RetryInfo"
    b"\x12\x0a\x0a\x08\x08\x03\x10\x80\xca\xb5\xee\x01"
)


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda code: code.name)
def test_every_status_is_mapped(code: grpc.StatusCode) -> None:
    error = from_status(code, "why", None)
    expected = UplinkMisbehaved if code.name in MISBEHAVED else UplinkUnavailable
    assert type(error) is expected
    assert error.hint


@pytest.mark.parametrize("name", ["UNAUTHENTICATED", "PERMISSION_DENIED"])
def test_a_refused_identity_says_what_to_check(name: str) -> None:
    assert "certificate" in from_status(grpc.StatusCode[name], None, None).hint


def test_a_failed_handshake_says_what_to_check() -> None:
    error = from_status(grpc.StatusCode.UNAVAILABLE, "Ssl handshake failed: ...", None)
    assert "TLS" in error.hint


@pytest.mark.parametrize(
    ("reason", "said"), [("is not yet valid", "likely behind"), ("has expired", "clock is ahead")]
)
def test_a_certificate_out_of_its_time_names_the_clock(reason: str, said: str) -> None:
    text = f"Tls handshake failed: CERTIFICATE_VERIFY_FAILED: certificate {reason}: OK"
    hint = from_status(grpc.StatusCode.UNAVAILABLE, text, None).hint
    assert "this machine's clock" in hint
    assert said in hint


@pytest.mark.parametrize(
    ("trailing", "wait_s"),
    [
        ([], None),
        ([("grpc-retry-pushback-ms", "1500")], 1.5),
        ([("grpc-retry-pushback-ms", "-1")], None),
        ([("grpc-retry-pushback-ms", "soon")], None),
        ([("grpc-retry-pushback-ms", "9" * 400)], 999_999.999),
        ([("grpc-status-details-bin", RETRY_3_5_S)], 3.5),
        ([("grpc-retry-pushback-ms", "9000"), ("grpc-status-details-bin", RETRY_3_5_S)], 9.0),
        ([("grpc-status-details-bin", RETRY_3_5_S[:-3])], None),
        ([("grpc-status-details-bin", b"\xff\xff")], None),
        ([("grpc-status-details-bin", b"\x08\x0e")], None),
        ([("other", "1")], None),
    ],
)
def test_wait_asked_for(trailing: list[tuple[str, Any]], wait_s: float | None) -> None:
    assert asked_wait_s(trailing) == wait_s
    assert from_status(grpc.StatusCode.UNAVAILABLE, "", trailing).wait_s == wait_s  # type: ignore[attr-defined]


def test_a_write_into_a_call_that_has_ended_says_so() -> None:
    error = from_status(grpc.StatusCode.INTERNAL, "Internal error from Core", None)
    assert isinstance(error, UplinkUnavailable)
    assert "ended the session" in str(error)
    other = from_status(grpc.StatusCode.INTERNAL, "a defect of the server", None)
    assert "a defect of the server" in str(other)


def test_a_server_that_knows_the_next_step_says_it() -> None:
    trailing = [("forebay-code", "locked"), ("forebay-hint", "find the second box")]
    error = from_status(grpc.StatusCode.PERMISSION_DENIED, "gw-1 is locked", trailing)
    assert error.hint == "find the second box"
    assert "gw-1 is locked" in str(error)
