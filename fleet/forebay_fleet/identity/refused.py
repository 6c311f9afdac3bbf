"""A no to a box, as it travels: a gRPC status, a word for the program, a sentence for the person.

Owns the words. Must not know gRPC.
"""

from __future__ import annotations

from forebay_fleet.errors import FleetError


class Refused(FleetError):
    """What a box asked for is not given.

    `code` goes with the answer as the trailer `forebay-code`, `status` names a gRPC status.
    """

    def __init__(self, code: str, status: str, message: str, *, hint: str) -> None:
        """Keep `code` and `status`."""
        super().__init__(message, hint=hint)
        self.code, self.status = code, status


def locked(name: str, reason: str) -> Refused:
    """Give the no to a gateway of which there are two boxes."""
    return Refused(
        "locked",
        "PERMISSION_DENIED",
        f"{name} is locked: {reason}",
        hint="the fleet's operator must find the second box, then unlock or enroll anew",
    )


def revoked(name: str, reason: str) -> Refused:
    """Give the no to a gateway that a person shut out."""
    return Refused(
        "revoked",
        "PERMISSION_DENIED",
        f"{name} is revoked: {reason}",
        hint="the fleet's operator shut this gateway out: ask there",
    )


def bad_token() -> Refused:
    """Give the no to a token: the same for all reasons, so that guessing teaches nothing."""
    return Refused(
        "token",
        "UNAUTHENTICATED",
        "the token is not good: unknown, used, expired, revoked, or for another gateway",
        hint="make another on the server: forebay-fleet token create",
    )


def invalid(message: str) -> Refused:
    """Give the no to a request that makes no sense."""
    return Refused(
        "invalid", "INVALID_ARGUMENT", message, hint="compare the versions of gateway and server"
    )
