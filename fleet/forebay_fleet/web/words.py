"""What people read, in their language.

Owns the catalogues `texts/*.toml`: the same keys in each, `{name}` where a value goes. Must not
know pages.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LANGUAGES = MappingProxyType({"en": "English", "zh": "中文"})
"""Each by its own name; the first is for who speaks none of them."""
QUASAR: Mapping[str, Literal["en-GB", "zh-CN"]] = MappingProxyType({"en": "en-GB", "zh": "zh-CN"})
"""What the library of the page calls them; also the `lang` of the document (BCP 47)."""


class Words:
    """`t = Words("en"); t("fleet.ill_parts", n=3)`."""

    def __init__(self, language: str) -> None:
        """Speak a language of LANGUAGES."""
        self.language = language
        self._texts = catalogue(language)

    def __call__(self, key: str, /, **values: object) -> str:
        """Give the text of a key, with its values. KeyError for a key that is in no catalogue."""
        text = self._texts[key]
        return text.format_map(values) if values else text

    def of(self, prefix: str, word: str) -> str:
        """Give the text of `prefix.word`, the word itself where there is none: what a box says."""
        return self._texts.get(f"{prefix}.{word}", word)


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Give all texts of a language, `table.key` of its file each."""
    path = resources.files("forebay_fleet.web").joinpath(f"texts/{language}.toml")
    return MappingProxyType(dict(_flat(tomllib.loads(path.read_text("utf-8")), "")))


def chosen(wish: str, accepted: str) -> str:
    """Give the language of who wished for one, or whose browser accepts some (RFC 9110, 12.5.4)."""
    if wish in LANGUAGES:
        return wish
    ranked: list[tuple[float, str]] = []
    for part in accepted[:200].split(","):
        name, _, weight = part.strip().partition(";q=")
        try:
            rank = float(weight or 1.0)
        except ValueError:
            continue
        ranked.append((-rank, name.partition("-")[0].lower()))
    known = (name for _, name in sorted(ranked, key=lambda one: one[0]) if name in LANGUAGES)
    return next(known, next(iter(LANGUAGES)))


def _flat(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
