"""From a session's hands into the journal.

Stages, the shadow of last values, and batches of the right size.

Must not know protocols or destinations.
"""

from __future__ import annotations
