"""The orders in which devices lay the bytes of a value into registers.

Pure. Owns their names and what each exchanges. Must not know tags or images.
"""

from __future__ import annotations

from typing import Literal

Order = Literal[
    "ABCD", "CDAB", "BADC", "DCBA",
    "ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA",
    "CDABGHEF", "EFGHABCD", "DCBAHGFE", "FEHGBADC",
]  # fmt: skip
"""Byte order of a value across its registers, A being the most significant byte.

ABCD is the order of the standard; CDAB has the low register first; BADC has the bytes of each
register swapped; DCBA both. Four letters read on for eight bytes: CDAB is GHEFCDAB. Eight letters
say it of eight bytes, and of fewer by the same exchanges: CDABGHEF is CDAB for four bytes, EFGHABCD
is ABCD. One register and strings know only whether its bytes are swapped.
"""

FLIPS: dict[Order, int] = {
    "ABCD": 0, "BADC": 1, "CDAB": 6, "DCBA": 7,
    "ABCDEFGH": 0, "BADCFEHG": 1, "CDABGHEF": 2, "DCBAHGFE": 3,
    "EFGHABCD": 4, "FEHGBADC": 5, "GHEFCDAB": 6, "HGFEDCBA": 7,
}  # fmt: skip
"""What an order exchanges: byte i of a value, 0 the most significant, lies at i ^ flip.

Bit 0 exchanges the bytes of a register, bit 1 the registers of a pair, bit 2 the pairs. A value of
2 or 4 bytes has only the lowest one or two of these bits.
"""
