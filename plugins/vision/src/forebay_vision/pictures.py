"""Pictures: bytes to grey arrays, and small pictures for people.

Owns what is decoded, and its limits. Must not know what is looked for.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, UnidentifiedImageError

from forebay_vision.files import Unusable
from forebay_vision.texture import SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "PPM", "WEBP")
_FRAME = (255, 64, 0)
_QUALITY = 80


def opened(content: bytes, max_pixels: int) -> Image.Image:
    """Decode a picture, as grey or colours.

    Raises:
        Unusable: it is none of FORMATS, damaged, or has more than `max_pixels`.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.width * image.height > max_pixels:
            raise Unusable(f"a picture of {image.width} x {image.height} is too large")
        if image.mode.startswith("I") or image.mode == "F":  # 16 bits: told from its own range
            wide = np.asarray(image, np.float64)
            low, high = np.percentile(wide, (0.5, 99.5))
            scaled = np.clip((wide - low) * (255 / max(high - low, 1)), 0, 255)
            return Image.fromarray(scaled.astype(np.uint8))
        image.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        if isinstance(error, Unusable):
            raise
        raise Unusable(f"it is no picture that can be read: {error}") from error
    except Image.DecompressionBombError as error:
        raise Unusable("the picture is too large") from error
    return image


def grey(image: Image.Image) -> NDArray[np.uint8]:
    """Give a picture as SIDE x SIDE levels of grey, whatever its shape."""
    found = image.convert("L")
    if found.size != (SIDE, SIDE):
        found = found.resize((SIDE, SIDE), Image.Resampling.BOX if max(found.size) > SIDE else
                             Image.Resampling.BILINEAR)  # fmt: skip
    return np.asarray(found, np.uint8)


def thumbnail(
    image: Image.Image, boxes: Sequence[tuple[float, float, float, float]], side: int
) -> bytes:
    """Give a JPEG of at most `side` pixels with `boxes` (left, top, right, bottom) drawn in it."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    across, down = small.width / image.width, small.height / image.height
    draw = ImageDraw.Draw(small)
    for left, top, right, bottom in boxes:
        corners = (left * across, top * down, max(right * across - 1, left * across),
                   max(bottom * down - 1, top * down))  # fmt: skip
        draw.rectangle(corners, outline=_FRAME)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
