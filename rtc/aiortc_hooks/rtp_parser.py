"""RTP packets (RFC 3550, section 5.1) read as far as voice needs them. Pure.

aiortc builds an object for each packet and reads its header extensions, none of which is used here.
"""

from __future__ import annotations

import struct
from typing import Final

from rtc.aiortc_hooks.receiver import RtpPacket

_HEADER: Final = struct.Struct("!BBHLL")
_UNPACK: Final = _HEADER.unpack_from
_HEADER_BYTES: Final = _HEADER.size
_VERSION_2: Final = 0x80
_ONE_BYTE_PROFILE: Final = b"\xbe\xde"
_IS_VOICE: Final = 0x80
_HAS_PADDING, _HAS_EXTENSION, _CSRC_COUNT = 0x20, 0x10, 0x0F


def parse_rtp(
    data: bytes, arrived_s: float | None = None, is_silent: bool = False, has_next: bool = False
) -> RtpPacket:
    """Parse a decrypted packet; what its header extensions hold is skipped unread.

    arrived_s, is_silent, has_next: as in `RtpPacket`

    Raises:
        ValueError: no RTP, or a length in it exceeds the packet.
    """
    end = len(data)
    if end < _HEADER_BYTES:
        raise ValueError("shorter than an RTP header")
    first, _, sequence_number, timestamp, ssrc = _UNPACK(data)
    if first & 0xC0 != _VERSION_2:
        raise ValueError("no RTP of version 2")
    begin = _HEADER_BYTES + 4 * (first & _CSRC_COUNT)
    if first & _HAS_EXTENSION:
        if end < begin + 4:
            raise ValueError("truncated before the header extension")
        begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4])
    if begin > end:
        raise ValueError("truncated within the header")
    if first & _HAS_PADDING:
        padding = data[-1]
        if not 0 < padding <= end - begin:
            raise ValueError("an invalid length of padding")
        end -= padding
    return RtpPacket(
        ssrc, sequence_number, timestamp, data[begin:end], arrived_s, is_silent, has_next
    )


def stated_level(data: bytes, extension_id: int) -> int | None:
    """The audio level (RFC 6464) in a header extension: 0 is full scale, 127 silence.

    None when there is none to be found, or when the sender calls the packet a voice. Header extensions
    are not encrypted, so that this may be asked of a packet as it came; until it is decrypted, anybody
    may have written it.
    """
    if len(data) < _HEADER_BYTES or not data[0] & _HAS_EXTENSION:
        return None
    at = _HEADER_BYTES + 4 * (data[0] & _CSRC_COUNT)
    if data[at : at + 2] != _ONE_BYTE_PROFILE:
        return None
    end = min(at + 4 + 4 * int.from_bytes(data[at + 2 : at + 4]), len(data))
    at += 4
    while at + 1 < end:
        head = data[at]
        if head >> 4 == extension_id:
            stated = data[at + 1]
            return None if stated & _IS_VOICE else stated
        # A zero is one byte of padding; else there is one byte more than the length says.
        at += (head & 0x0F) + 2 if head else 1
    return None
