"""Chooses which version of the agent runs, and becomes it.

Owns `STATE/slots`. Must not import anything of Forebay but itself, nor any library: this runs
when everything else of a new version is broken.
"""

from __future__ import annotations
