"""Images that arrive in chunks, because a data channel message is smaller than an image. Pure.

Each participant sends one image at a time. Chunks may come in any order; a chunk of another image
gives up the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from untrusted.images import MAX_BASE64_CHARACTERS

MAX_CHUNKS: Final = 64
"""Of one image."""

MAX_TOTAL_CHARACTERS: Final = 8 * MAX_BASE64_CHARACTERS
"""Waiting to be completed, of all participants together."""

TIMEOUT_S: Final = 30.0
"""After its last chunk an incomplete image is given up when room is needed for another one."""


class ChunkRefusedError(ValueError):
    """A chunk, and with it its image, is refused; the chunks after it are ignored."""


@dataclass(slots=True)
class _Image:
    """`pieces`: base64 by index; None once the image was refused."""

    image_id: str
    count: int
    changed_at_s: float
    pieces: dict[int, str] | None = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces.values())) if self.pieces else 0


class ImageAssembly:
    """Joins chunks to images, in bounded memory."""

    def __init__(self) -> None:
        # By uid of the sender.
        self._images: dict[int, _Image] = {}

    def add(
        self, uid: int, image_id: str, *, index: int, count: int, piece: str, now_s: float
    ) -> str | None:
        """Add a chunk; return the base64 of the whole image once it is complete.

        Raises:
            ChunkRefusedError: the image is given up; said once.
        """
        image = self._images.get(uid)
        if image is None or image.image_id != image_id:
            image = self._images[uid] = _Image(image_id, count, now_s)
        if image.pieces is None:
            return None
        if (problem := self._problem(image, index, count, piece, now_s)) is not None:
            image.pieces = None
            raise ChunkRefusedError(problem)
        image.pieces[index] = piece
        image.changed_at_s = now_s
        if len(image.pieces) < count:
            return None
        del self._images[uid]
        return "".join(image.pieces[each] for each in range(count))

    def _problem(
        self, image: _Image, index: int, count: int, piece: str, now_s: float
    ) -> str | None:
        assert image.pieces is not None
        if count != image.count or index >= count or index in image.pieces:
            return "index and count do not match the chunks before"
        if image.size + len(piece) > MAX_BASE64_CHARACTERS:
            return f"the image is larger than {MAX_BASE64_CHARACTERS} characters of base64"
        if not self._has_room(len(piece), now_s):
            return "too many images are on their way: send it again later"
        return None

    def _has_room(self, wanted: int, now_s: float) -> bool:
        if self._total() + wanted > MAX_TOTAL_CHARACTERS:
            for uid, image in list(self._images.items()):
                if now_s - image.changed_at_s > TIMEOUT_S:
                    del self._images[uid]
        return self._total() + wanted <= MAX_TOTAL_CHARACTERS

    def _total(self) -> int:
        return sum(image.size for image in self._images.values())

    def given_up(self, uid: int, image_id: str) -> str | None:
        """Return the id of the incomplete image that a chunk of another one ends, if there is one."""
        image = self._images.get(uid)
        if image is None or image.image_id == image_id or image.pieces is None:
            return None
        return image.image_id

    def forget(self, uid: int) -> None:
        """Drop what came of a participant that has left."""
        self._images.pop(uid, None)
