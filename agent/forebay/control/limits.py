"""What both ends of the control socket must agree on.

Owns names on the wire and what one request may cost. Must not import anything.
"""

from __future__ import annotations

SERVICE = "forebay.v1.Control"
HINT_KEY = "forebay-hint-bin"
"""Trailing metadata that carries an error's hint, UTF-8."""

PAGE_TAGS = 5_000
"""Most tags of one reply."""
PAGE_BYTES = 2 << 20
"""Encoded bytes after which a page of tags ends early; one tag more may follow."""
READ_TAGS = 1_000
"""Most tags of one ReadTags."""
SHOW_RECORDS = 1_000
"""Most records of one ShowRecords."""
QUARANTINE_IDS = 100
"""Most records of one RetryQuarantined or DropQuarantined."""
LIST_BYTES = 4 << 20
"""Encoded bytes after which ListQuarantine ends early; the oldest come first."""
LOG_LINES = 1_000
"""Most lines of one ReadPluginLog or ReadLog."""
MAX_REQUEST_BYTES = 1 << 20
MAX_REPLY_BYTES = 8 << 20
MAX_PATTERN_CHARS = 1_024
DOCTOR_BYTES = 256 << 10
"""Of what the doctor found, as it goes into a bundle."""
