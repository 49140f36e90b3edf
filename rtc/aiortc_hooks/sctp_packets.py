"""SCTP packets of the other side, looked through before aiortc reads them. Pure.

aiortc takes the lengths and ranges in a packet as they come: a parameter of length 0 keeps its parser
busy for ever, an acknowledgement of a few wide gaps for seconds.
"""

from __future__ import annotations

from struct import unpack_from
from typing import Final

MAX_ACKNOWLEDGED: Final = 4096
"""Packets that the gaps of one acknowledgement may name: more than ever are on their way."""

_COMMON_BYTES: Final = 12
_HEAD_BYTES: Final = 4
_DATA, _FORWARD = 0, 192
_INIT, _INIT_ACK, _SACK = 1, 2, 3
# Where the parameters of a chunk begin, after its head.
_PARAMETERS_AT: Final = {_INIT: 16, _INIT_ACK: 16, 4: 0, 5: 0, 6: 0, 9: 0, 130: 0}
_DATA_HEAD_BYTES: Final = 12


class PacketError(ValueError):
    """A packet that SCTP does not know, or that would cost too much to read."""


def count_data_chunks(packet: bytes) -> int:
    """Return the number of DATA chunks in `packet`.

    Raises:
        PacketError: it is not built as SCTP builds packets.
    """
    if len(packet) < _COMMON_BYTES + _HEAD_BYTES:
        raise PacketError("an SCTP packet is too short")
    count, at = 0, _COMMON_BYTES
    while at + _HEAD_BYTES <= len(packet):
        kind, _, length = unpack_from("!BBH", packet, at)
        if length < _HEAD_BYTES or at + length > len(packet):
            raise PacketError("an SCTP chunk has a length of its own")
        _check_chunk(kind, packet[at + _HEAD_BYTES : at + length])
        count += kind == _DATA
        at += length + -length % 4
    return count


def _check_chunk(kind: int, body: bytes) -> None:
    if kind == _DATA and len(body) < _DATA_HEAD_BYTES:
        raise PacketError("an SCTP data chunk is too short")
    if kind == _FORWARD and (len(body) < 4 or len(body) % 4):
        raise PacketError("an SCTP chunk that skips pieces has a length of its own")
    if kind == _SACK:
        _check_gaps(body)
    elif (at := _PARAMETERS_AT.get(kind)) is not None:
        if len(body) < at:
            raise PacketError("an SCTP chunk is too short")
        while at + _HEAD_BYTES <= len(body):
            (length,) = unpack_from("!H", body, at + 2)
            if length < _HEAD_BYTES:
                raise PacketError("an SCTP parameter is shorter than its head")
            at += length + -length % 4


def _check_gaps(body: bytes) -> None:
    if len(body) < 12:
        raise PacketError("an SCTP acknowledgement is too short")
    (gaps,) = unpack_from("!H", body, 8)
    if len(body) < 12 + 4 * gaps:
        raise PacketError("an SCTP acknowledgement is too short")
    ranges = [unpack_from("!HH", body, 12 + 4 * index) for index in range(gaps)]
    if any(first < 1 or last < first for first, last in ranges):
        raise PacketError("an SCTP acknowledgement goes backwards")
    if sum(last - first + 1 for first, last in ranges) > MAX_ACKNOWLEDGED:
        raise PacketError("an SCTP acknowledgement names more than was sent")
