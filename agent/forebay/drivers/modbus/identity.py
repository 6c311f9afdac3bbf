"""Who a device says it is: function 43/14, Read Device Identification.

Owns these requests and answers. Must not know when to ask. Source: "MB-APP" is the MODBUS
Application Protocol Specification V1.1b3, section 6.21.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.drivers.modbus.codec import OPEN, Request

if TYPE_CHECKING:
    from forebay.drivers.modbus.unit import Unit

_MOST_REQUESTS = 16
"""A device that says more of itself than fits so many answers is cut short."""
_REGULAR, _BASIC = 2, 1
_ERROR = 0x80
_ENCAPSULATED, _MEI_IDENTITY = 0x2B, 0x0E
_HEAD_BYTES = 6
"""MEI type, code, conformity, whether more follows, the next object, how many are here."""
_MORE = 0xFF
_NAMES = (
    "vendor", "product_code", "revision", "vendor_url", "product_name", "model_name",
    "application_name",
)  # fmt: skip
"""What the objects 0 to 6 are."""


async def identify(unit: Unit) -> dict[str, str]:
    """Ask for all regular objects, or the basic ones if the device has no others.

    Empty if it refuses. The line's turn is held; raises as `Wire.run`.
    """
    for code in (_REGULAR, _BASIC):
        known: dict[str, str] = {}
        first = 0
        for _ in range(_MOST_REQUESTS):
            job = unit.job((ask_identity(unit.number, code, first),), bytearray())
            await unit.run(job)
            following = None if job.refused else read_identity(bytes(job.image), known)
            if following is None:
                break
            first = following
        if known:
            return known
    return {}


def ask_identity(unit: int, code: int, object_id: int) -> Request:
    """Ask who the device is, from `object_id` on, by function 43/14.

    `code` is 1 for the three basic objects, 2 for the regular ones too. The image becomes the
    answer from the MEI type on.
    """
    pdu = bytes((_ENCAPSULATED, _MEI_IDENTITY, code, object_id))
    return Request(
        body=b"\x00\x00\x00\x05" + bytes((unit,)) + pdu,
        head=b"\x00\x00\x00\x00" + bytes((unit,)) + pdu[:2],
        refusal=b"\x00\x00\x00\x03" + bytes((unit, _ENCAPSULATED | _ERROR)),
        size=OPEN,
        offset=0,
    )


def read_identity(image: bytes, known: dict[str, str]) -> int | None:
    """Put what an answer to `ask_identity` says into `known`.

    Gives the object from which on more can be asked, None if that is all, or if the answer ends in
    the middle.
    """
    if len(image) < _HEAD_BYTES:
        return None
    more, following, count = image[3:6]
    at = _HEAD_BYTES
    for _ in range(count):
        if at + 2 > len(image) or at + 2 + image[at + 1] > len(image):
            return None
        number, size = image[at], image[at + 1]
        text = image[at + 2 : at + 2 + size].decode("latin-1")
        name = _NAMES[number] if number < len(_NAMES) else f"object_{number}"
        known[name] = "".join(c for c in text if c.isprintable()).strip()
        at += 2 + size
    return following if more == _MORE and following else None
