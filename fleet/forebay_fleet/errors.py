"""Every error that the fleet server raises on purpose.

    FleetError
    ├── UsageError         what a person asked for cannot be
    ├── CertificateError   a key or certificate cannot be made or read
    ├── SignInFailed       a provider of OpenID Connect does not vouch for who came
    ├── DecodingError      a payload is not what proto/forebay/v1/batch.proto says
    └── StoreError         the store cannot be used
        ├── StoreLocked    another server owns the directory
        └── StoreFailed    the disk refused a write: stop, exit 74, recover from disk
            └── StoreAway  the database cannot be reached: it may come back

`str(error)` states what is wrong, `hint` what a person does next. Knows no other module.
"""

from __future__ import annotations


class FleetError(Exception):
    """The root."""

    def __init__(self, message: str, *, hint: str) -> None:
        """Keep `message` (what is wrong, one line) and `hint` (the next step, one line)."""
        super().__init__(message)
        self.hint = hint


class UsageError(FleetError):
    """An argument that makes no sense, or names something that is not there."""


class CertificateError(FleetError):
    """A key or certificate that cannot be made or read."""


class DecodingError(FleetError):
    """A payload that breaks the wire format.

    `code` is the OPC UA StatusCode name sent to the gateway.
    """

    def __init__(self, message: str, *, code: str = "BadDecodingError") -> None:
        """Keep `code`; the hint is always the same: only a faulty sender makes such bytes."""
        super().__init__(message, hint="compare the versions of gateway and server")
        self.code = code


class SignInFailed(FleetError):
    """Somebody came back from a provider of OpenID Connect and is not let in, or it is unsound."""


class StoreError(FleetError):
    """The store cannot be used."""


class StoreLocked(StoreError):
    """Another process holds the data directory."""


class StoreFailed(StoreError):
    """The disk refused a write or a flush. Nothing is retried in the process."""


class StoreAway(StoreFailed):
    """The database cannot be reached, or ended the connection."""
