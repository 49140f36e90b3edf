"""Images are known by their bytes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from untrusted.images import (
    IMAGE_TYPES,
    MAX_BASE64_CHARACTERS,
    MAX_IMAGE_BYTES,
    ImageType,
    InvalidImageError,
    require_image,
)

JPEG = b"\xff\xd8\xff\xe0 and so on"
PNG = b"\x89PNG\r\n\x1a\n and so on"
WEBP = b"RIFF\x00\x00\x00\x00WEBP and so on"


@pytest.mark.parametrize(
    ("data", "found"), [(JPEG, "image/jpeg"), (PNG, "image/png"), (WEBP, "image/webp")]
)
def test_the_bytes_tell_the_type(data: bytes, found: ImageType) -> None:
    assert require_image(data, None) == found
    assert require_image(data, found) == found


@pytest.mark.parametrize(
    ("data", "declared", "words"),
    [
        (b"", None, "empty"),
        (b"GIF89a", None, "neither JPEG nor PNG"),
        (b"RIFF\x00\x00\x00\x00WAVE", None, "neither"),
        (PNG, "image/jpeg", "it is image/png, and is said to be image/jpeg"),
        (JPEG + bytes(MAX_IMAGE_BYTES), None, "larger than 1024 KiB"),
    ],
)
def test_what_is_no_such_image_is_refused(
    data: bytes, declared: ImageType | None, words: str
) -> None:
    with pytest.raises(InvalidImageError, match=words):
        require_image(data, declared)


def test_the_largest_image_fits_its_base64() -> None:
    assert (MAX_IMAGE_BYTES + 2) // 3 * 4 * 77 / 76 < MAX_BASE64_CHARACTERS


@given(st.binary())
def test_any_bytes_are_known_or_refused(data: bytes) -> None:
    with contextlib.suppress(InvalidImageError):
        assert require_image(data, None) in IMAGE_TYPES
