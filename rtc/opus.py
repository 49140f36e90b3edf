"""Opus by ctypes, with what PyAV's binding cannot do: concealment and in-band error correction.

The library is the libopus inside PyAV's wheel, which we load anyway; the system's is the fallback.
Calls take well under a millisecond and are made on the loop.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import weakref
from pathlib import Path
from typing import Any, Final

import av

OPUS_RATES_HZ: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
MAX_PACKET_BYTES: Final = 1275
MAX_PACKET_MS: Final = 120

_APPLICATION_VOIP: Final = 2048
_SET_BITRATE: Final = 4002
_SET_COMPLEXITY: Final = 4010
_SET_INBAND_FEC: Final = 4012
_SET_PACKET_LOSS_PERC: Final = 4014
_SET_DTX: Final = 4016
_SET_SIGNAL: Final = 4024
_GET_LOOKAHEAD: Final = 4027
_SIGNAL_VOICE: Final = 3001


class OpusError(Exception):
    """libopus is missing, or refused a packet or a setting."""


@functools.cache
def _library() -> Any:
    bundled = sorted((Path(av.__file__).parent.parent / "av.libs").glob("libopus*.so*"))
    name = str(bundled[0]) if bundled else ctypes.util.find_library("opus")
    if name is None:
        raise OpusError("no libopus: reinstall the package av, or install the system's libopus0")
    library = ctypes.CDLL(name)
    pointer, c_int, i32 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int32
    for function, result, arguments in (
        ("opus_strerror", ctypes.c_char_p, [c_int]),
        ("opus_encoder_create", pointer, [i32, c_int, c_int, ctypes.POINTER(c_int)]),
        ("opus_encoder_destroy", None, [pointer]),
        ("opus_encode", i32, [pointer, ctypes.c_char_p, c_int, pointer, i32]),
        ("opus_decoder_create", pointer, [i32, c_int, ctypes.POINTER(c_int)]),
        ("opus_decoder_destroy", None, [pointer]),
        ("opus_decode", c_int, [pointer, ctypes.c_char_p, i32, pointer, c_int, c_int]),
        ("opus_packet_get_nb_samples", c_int, [ctypes.c_char_p, i32, i32]),
    ):
        entry = getattr(library, function)
        entry.restype, entry.argtypes = result, arguments
    library.opus_encoder_ctl.restype = c_int
    return library


def _check(code: int) -> int:
    if code < 0:
        raise OpusError(_library().opus_strerror(code).decode())
    return code


def _require_rate(sample_rate_hz: int) -> None:
    if sample_rate_hz not in OPUS_RATES_HZ:
        raise ValueError(f"Opus works at {OPUS_RATES_HZ} Hz, not at {sample_rate_hz}")


def packet_samples(payload: bytes, sample_rate_hz: int) -> int:
    """Return the number of samples that `payload` decodes to.

    Raises:
        OpusError: not an Opus packet.
    """
    if not payload:
        raise OpusError("an empty packet")
    # All that it takes is in the first two bytes (RFC 6716, section 3).
    return _samples_after(payload[:2], sample_rate_hz)


@functools.lru_cache(maxsize=256)
def _samples_after(head: bytes, sample_rate_hz: int) -> int:
    return _check(_library().opus_packet_get_nb_samples(head, len(head), sample_rate_hz))


class OpusEncoder:
    """Mono voice, 16-bit little-endian in, one packet per frame out. Freed with the object."""

    def __init__(
        self,
        sample_rate_hz: int,
        *,
        bitrate_bps: int = 48_000,
        complexity: int = 1,
        is_dtx: bool = True,
        expected_loss_percent: int = 10,
    ) -> None:
        """expected_loss_percent: above 0, each packet can also rebuild the one before it (FEC)."""
        _require_rate(sample_rate_hz)
        library = _library()
        error = ctypes.c_int()
        handle = library.opus_encoder_create(sample_rate_hz, 1, _APPLICATION_VOIP, error)
        _check(error.value)
        self.sample_rate_hz = sample_rate_hz
        self._handle = ctypes.c_void_p(handle)
        self._close = weakref.finalize(self, library.opus_encoder_destroy, self._handle)
        self._packet = ctypes.create_string_buffer(MAX_PACKET_BYTES)
        for setting, value in (
            (_SET_BITRATE, bitrate_bps),
            (_SET_COMPLEXITY, complexity),
            (_SET_SIGNAL, _SIGNAL_VOICE),
            (_SET_INBAND_FEC, int(expected_loss_percent > 0)),
            (_SET_PACKET_LOSS_PERC, expected_loss_percent),
            (_SET_DTX, int(is_dtx)),
        ):
            _check(library.opus_encoder_ctl(self._handle, setting, ctypes.c_int(value)))

    @property
    def lookahead_samples(self) -> int:
        """The delay of the codec: how much later a sound is in the decoded than in the encoded audio."""
        samples = ctypes.c_int32()
        _check(_library().opus_encoder_ctl(self._handle, _GET_LOOKAHEAD, ctypes.byref(samples)))
        return samples.value

    def encode(self, pcm: bytes) -> bytes:
        """One packet for one frame; 2 bytes or fewer mean silence that need not be sent.

        Raises:
            OpusError: `pcm` is not a frame of 2.5, 5, 10, 20, 40 or 60 ms.
        """
        length = _library().opus_encode(
            self._handle, pcm, len(pcm) // 2, self._packet, MAX_PACKET_BYTES
        )
        return ctypes.string_at(self._packet, _check(length))

    def close(self) -> None:
        """Free the handle. Idempotent."""
        self._close()


class OpusDecoder:
    """Any Opus packet in, 16-bit little-endian mono at the wanted rate out. Freed with the object."""

    def __init__(self, sample_rate_hz: int) -> None:
        _require_rate(sample_rate_hz)
        library = _library()
        error = ctypes.c_int()
        handle = library.opus_decoder_create(sample_rate_hz, 1, error)
        _check(error.value)
        self.sample_rate_hz = sample_rate_hz
        self._handle = ctypes.c_void_p(handle)
        self._close = weakref.finalize(self, library.opus_decoder_destroy, self._handle)
        self._max_samples = sample_rate_hz * MAX_PACKET_MS // 1000
        self._pcm = ctypes.create_string_buffer(self._max_samples * 2)
        self._samples = memoryview(self._pcm)
        self._opus_decode = library.opus_decode

    def decode(self, payload: bytes) -> bytes:
        """The audio of a packet.

        Raises:
            OpusError: not an Opus packet; the decoder stays usable.
        """
        if not payload:
            raise OpusError("an empty packet")
        # Fifty times a second in every call, and so without a step that it does not take.
        decoded = self._opus_decode(
            self._handle, payload, len(payload), self._pcm, self._max_samples, 0
        )
        if decoded < 0:
            _check(decoded)
        return self._samples[: decoded * 2].tobytes()

    def decode_fec(self, next_payload: bytes, lost_samples: int) -> bytes:
        """The audio of a lost packet, rebuilt from the packet after it, else concealed.

        Raises:
            OpusError: `next_payload` is not an Opus packet.
        """
        return self._run(next_payload, self._lost(lost_samples), is_fec=True)

    def conceal(self, lost_samples: int) -> bytes:
        """A plausible continuation for lost audio."""
        return self._run(None, self._lost(lost_samples), is_fec=False)

    def _lost(self, samples: int) -> int:
        """libopus wants lost audio in whole units of 2.5 ms."""
        unit = self.sample_rate_hz // 400
        return max(unit, min(samples // unit * unit, self._max_samples))

    def _run(self, payload: bytes | None, samples: int, *, is_fec: bool) -> bytes:
        length = 0 if payload is None else len(payload)
        decoded = _library().opus_decode(
            self._handle, payload, length, self._pcm, samples, int(is_fec)
        )
        return ctypes.string_at(self._pcm, _check(decoded) * 2)

    def close(self) -> None:
        """Free the handle. Idempotent."""
        self._close()
