"""A recording on disk. Every call may block: use it off the loop, one call at a time."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

from session.recording.timeline import FRAME_BYTES, Block
from session.recording.wav import HEAD_BYTES, NotARecordingError, WavHead


class WavFile:
    """A WAV file that is readable at any moment: audio is written first, then the header that
    counts it.
    """

    def __init__(self, descriptor: int, path: Path, head: WavHead) -> None:
        """Use `open`."""
        self.head = head
        self._descriptor = descriptor
        self._path = path

    @classmethod
    def open(cls, path: Path, sample_rate_hz: int, description: str) -> WavFile:
        """Create the file with owner-only permissions, or continue one that another process left.

        Raises:
            OSError: the file cannot be opened or written.
            NotARecordingError: it is something else, or has another sample rate.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            new = WavHead(sample_rate_hz, 0, 0, description)
            file = cls(descriptor, path, _read_head(descriptor, sample_rate_hz) or new)
            file._write_head()
        except BaseException:
            os.close(descriptor)
            raise
        return file

    @property
    def samples(self) -> int:
        """Length in samples."""
        return self.head.data_bytes // FRAME_BYTES

    def begin(self, began_ms: int) -> None:
        """Set the Unix time of the first sample; written with the next block."""
        self.head = replace(self.head, began_ms=began_ms)

    def write(self, block: Block) -> None:
        """Write the block at its place; gaps before it read as silence.

        Raises:
            OSError: not everything was written; earlier audio stays readable.
        """
        begin = block.first_sample * FRAME_BYTES
        _write_all(self._descriptor, block.pcm, HEAD_BYTES + begin)
        end = begin + len(block.pcm)
        self.head = replace(self.head, data_bytes=max(self.head.data_bytes, end))
        self._write_head()

    def describe(self, description: str) -> None:
        """Replace the description in the header; a failing disk is ignored."""
        self.head = replace(self.head, description=description)
        with contextlib.suppress(OSError):
            self._write_head()

    def close(self) -> None:
        """Sync and close the file; one without audio is removed.

        Raises:
            OSError: the disk did not accept it.
        """
        try:
            if self.samples:
                os.fdatasync(self._descriptor)
            else:
                self._path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)

    def _write_head(self) -> None:
        _write_all(self._descriptor, self.head.to_bytes(), 0)


def _read_head(descriptor: int, sample_rate_hz: int) -> WavHead | None:
    """Return the header; None for an empty file, or one whose first header was never completed."""
    size = os.fstat(descriptor).st_size
    if size < HEAD_BYTES:
        return None
    head = WavHead.parse(os.pread(descriptor, HEAD_BYTES, 0))
    if head.sample_rate_hz != sample_rate_hz:
        raise NotARecordingError(f"it has {head.sample_rate_hz} samples a second")
    # The audio of a writer that was killed may be longer than its header says.
    whole_bytes = (size - HEAD_BYTES) // FRAME_BYTES * FRAME_BYTES
    return replace(head, data_bytes=whole_bytes)


def _write_all(descriptor: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, position)
        view, position = view[written:], position + written
