"""Takes secrets out of what leaves the box to be looked at: texts, and trees of them.

Owns what counts as a secret. Two ways: what is known to be one (`Redactor` is given it) goes
wherever it stands, in whatever spelling; and what looks like one goes because of how it is named,
or written. Rather too much than too little. Must not know where texts come from.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GONE = "[redacted]"
SHORTEST = 4
"""Characters of a known secret that is looked for everywhere: a shorter one is in every text."""
MAX_KNOWN = 10_000
_NAME = re.compile(
    r"pass(?!ed|ive|es)|pwd|secret|token|credential|key|private|auth|bearer|cookie|psk|community"
    r"|login|signature|(?:^|[._-])pin(?:$|[._-])",
    re.IGNORECASE,
)
_NAMED = (
    r"[\w.-]*(?:pass(?:word|wd|phrase|code)|pwd|secret|token|credential|api[_-]?key|psk)[\w.-]*"
)
_VALUE = r"""(?:\\*"(?:\\.|[^"\\])*"|\\*'(?:\\.|[^'\\])*'|[^\s,;&}\]]+)"""
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), put)
    for pattern, put in (
        (r"-----BEGIN[A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END[^-]{0,60}-----|\Z)", GONE),
        (r"fbt1_[\w-]+", GONE),
        (r"(\b[a-z][a-z0-9+.-]{0,30}://)[^\s\"'<>]{1,1000}@", rf"\1{GONE}@"),
        (
            r"\b((?:proxy-)?authorization|(?:set-)?cookie)(\\*[\"']?\s*[:=]\s*)[^\n]+",
            rf"\1\2{GONE}",
        ),
        (rf"({_NAMED}\\*[\"']?\s{{0,8}}[:=]\s{{0,8}}){_VALUE}", rf"\1{GONE}"),
        (rf"(--?{_NAMED}\s{{1,8}}){_VALUE}", rf"\1{GONE}"),
        (r"\b(bearer|basic)\s{1,8}[\w.~+/=-]{8,}", rf"\1 {GONE}"),
        (r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*", GONE),
        (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_\w{20,}|\bxox[abposr]-[\w-]{10,}", GONE),
    )
)


def is_secret_name(name: str) -> bool:
    """Whether what is called so may be a secret."""
    return _NAME.search(name) is not None


class Redactor:
    """Knows the secrets of one box."""

    def __init__(self, known: Iterable[str]) -> None:
        """Look for `known`, of SHORTEST characters and more, the first MAX_KNOWN of them."""
        spellings = {
            spelling
            for secret in list(dict.fromkeys(known))[:MAX_KNOWN]
            if len(secret) >= SHORTEST
            for spelling in _spellings(secret)
            if len(spelling) >= SHORTEST
        }
        longest_first = sorted(spellings, key=lambda one: (-len(one), one))
        self._known = re.compile("|".join(map(re.escape, longest_first))) if spellings else None

    def text(self, text: str) -> str:
        """Give `text` without secrets."""
        if self._known is not None:
            text = self._known.sub(GONE, text)
        for pattern, put in _RULES:
            text = pattern.sub(put, text)
        return text

    def tree(self, value: Any, *, by_name: bool = False) -> Any:  # noqa: ANN401 - JSON
        """Give what JSON can hold without secrets; `by_name`: nor what is called like one."""
        match value:
            case dict():
                return {
                    self.text(str(key)): GONE
                    if by_name and is_secret_name(str(key)) and not isinstance(one, dict | bool)
                    else self.tree(one, by_name=by_name)
                    for key, one in value.items()
                }
            case list() | tuple():
                return [self.tree(one, by_name=by_name) for one in value]
            case str():
                return self.text(value)
            case bool() | int() | float() | None:
                return value
            case _:
                return self.text(str(value))


def _spellings(secret: str) -> Iterator[str]:
    """Give how a secret may stand in a text: as it is, escaped, in a URL, in base64 or hex."""
    data = secret.encode()
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield json.dumps(json.dumps(secret))[3:-3]
    yield repr(secret)[1:-1]
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield base64.b64encode(data).decode().rstrip("=")
    yield base64.urlsafe_b64encode(data).decode().rstrip("=")
    yield data.hex()
