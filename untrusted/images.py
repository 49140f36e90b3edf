"""Images from outside: limited in size and known by their first bytes, never decoded here."""

from __future__ import annotations

from typing import Final, Literal, get_args

ImageType = Literal["image/jpeg", "image/png", "image/webp"]
IMAGE_TYPES: Final[tuple[ImageType, ...]] = get_args(ImageType)

MAX_IMAGE_BYTES: Final = 1024 * 1024
"""Of one image, as it is encoded."""

# Longest base64 of one, with room for line breaks and padding.
MAX_BASE64_CHARACTERS: Final = MAX_IMAGE_BYTES * 4 // 3 + 32 * 1024

_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"


class InvalidImageError(ValueError):
    """Bytes that are no image of a known type, or too many; the text repeats none of them."""


def require_image(data: bytes, declared: ImageType | None) -> ImageType:
    """Return the type of an image, which is that of its bytes.

    declared: what the sender says it is, if it says so

    Raises:
        InvalidImageError: it is empty, too large, of no known type, or of another one than declared.
    """
    if not data:
        raise InvalidImageError("empty")
    if len(data) > MAX_IMAGE_BYTES:
        raise InvalidImageError(f"larger than {MAX_IMAGE_BYTES // 1024} KiB")
    if (found := _type_of(data)) is None:
        raise InvalidImageError("neither JPEG nor PNG nor WebP")
    if declared not in (None, found):
        raise InvalidImageError(f"it is {found}, and is said to be {declared}")
    return found


def _type_of(data: bytes) -> ImageType | None:
    if data.startswith(_JPEG):
        return "image/jpeg"
    if data.startswith(_PNG):
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None
