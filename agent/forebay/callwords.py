"""What gRPC says of a call that did not come about, in words for a person.

gRPC's own are many, one within the other, with what was meant at their end: "failed to connect to
all addresses; last error: UNKNOWN: ipv4:192.0.2.1:7443: Failed to connect to remote host:
Connection refused". Must not know whose call it is.
"""

from __future__ import annotations

import re

MOST = 300
"""Characters of what cannot be said shorter."""
_FAILED = re.compile(r"last error: [A-Z_]+: ipv[46]:(?P<where>\S+): (?P<why>.+)", re.DOTALL)
_REFUSED = re.compile(r"(?:Failed to connect to remote host|connect): (?P<why>.+)", re.DOTALL)
_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED: (?P<why>[^:\[(]+)")
_NAMELESS = re.compile(r"errors resolving (?P<where>\S+): ")


def plain(code: str, details: str | None) -> str:
    """Give what a status says, in its shortest true form; else as it is, behind its code's name."""
    text = " ".join((details or "no details").split())
    if nameless := _NAMELESS.match(text):
        return f"{nameless['where']} is no name that can be resolved"[:MOST]
    failed = _FAILED.search(text)
    if failed is None:
        return f"{code}: {text}"[:MOST]
    where, why = failed["where"].replace("%5B", "[").replace("%5D", "]"), failed["why"]
    if untrusted := _UNTRUSTED.search(why):
        return f"{where} is not trusted: {untrusted['why'].strip()}"
    if refused := _REFUSED.match(why):
        return f"{where} cannot be reached: {refused['why'].lower()}"[:MOST]
    if "handshake" in why.lower():
        return f"{where}: no TLS came about: {why}"[:MOST]
    return f"{where} cannot be reached: {why}"[:MOST]
