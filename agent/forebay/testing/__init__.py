"""What adapter authors and Forebay's own tests share.

Fake seams, scripted drivers, faulty peers, contract suites.

Shipped with the agent and never imported by it.
"""

from __future__ import annotations
