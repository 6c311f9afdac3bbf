"""The durable log: segment files, one writer thread, readers with cursors, the ledger.

Owns every byte under the journal's directory; docs/internals/journal.md is the byte layout. Must
not know who submits, who reads, or what a payload means beyond gaps and schemas.
"""

from __future__ import annotations
