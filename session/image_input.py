"""Images that participants and the API show the model: put together, checked, passed on."""

from __future__ import annotations

import time

from conversation.events.client_events import ClientImageAppend, ClientImageChunk, ImageFormat
from conversation.events.commands import CommandRefusedError
from conversation.image_assembly import ChunkRefusedError, ImageAssembly
from realtime.events import AddImage
from session.context import SessionContext
from untrusted.images import require_image
from untrusted.json_reader import read_base64

_INVALID = "invalid_event"


class ImageInput:
    """Shows the model whole images, and the parts of larger ones once all are there."""

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self._assembly = ImageAssembly()

    async def handle_image(self, event: ClientImageAppend, _uid: int | None) -> None:
        """Show an image that came in one event.

        Raises:
            CommandRefusedError: it is no image, or too large.
            UnsupportedCommandError: the model does not see such images.
        """
        await self._show(event.image, event.format)

    async def handle_chunk(self, event: ClientImageChunk, uid: int) -> None:
        """Keep a piece of an image; show the image if it was the last one that lacked.

        Raises:
            CommandRefusedError: the image is given up.
            UnsupportedCommandError: the model does not see such images.
        """
        if (other := self._assembly.given_up(uid, event.id)) is not None:
            text = f"image {other}: given up for image {event.id}"
            self._context.publisher.refuse(uid, "image_incomplete", text)
        try:
            image = self._assembly.add(
                uid,
                event.id,
                index=event.index,
                count=event.count,
                piece=event.data,
                now_s=time.monotonic(),
            )
        except ChunkRefusedError as error:
            raise CommandRefusedError(_INVALID, f"image {event.id}: {error}") from error
        if image is not None:
            await self._show(image, event.format)

    def handle_left(self, uid: int) -> None:
        """Forget the pieces of a participant that has left."""
        self._assembly.forget(uid)

    async def _show(self, base64: str, declared: ImageFormat | None) -> None:
        try:
            data = read_base64(base64)
            mime_type = require_image(data, None if declared is None else declared.type)
        except ValueError as error:
            raise CommandRefusedError(_INVALID, f"image: {error}") from error
        await self._context.model.send(AddImage(data, mime_type))
