"""Decryption by the short way is that of pylibsrtp, on one state."""

from __future__ import annotations

import os
import struct

import pylibsrtp
import pytest
from pylibsrtp import Policy, Session

from rtc.aiortc_hooks.srtp import fast_unprotect

KEY = os.urandom(30)


def session(ssrc_type: int) -> Session:
    return Session(Policy(key=KEY, ssrc_type=ssrc_type))


def rtp(number: int) -> bytes:
    return struct.pack("!BBHLL", 0x80, 96, number, number * 960, 42) + b"voice %d" % number


def test_packets_are_decrypted_by_either_way_in_turns() -> None:
    sender, receiver = session(Policy.SSRC_ANY_OUTBOUND), session(Policy.SSRC_ANY_INBOUND)
    unprotect = fast_unprotect(receiver)
    for number in range(10):
        way = unprotect if number % 2 else receiver.unprotect
        assert way(sender.protect(rtp(number))) == rtp(number)


def test_what_is_forged_repeated_or_too_long_is_refused() -> None:
    sender, receiver = session(Policy.SSRC_ANY_OUTBOUND), session(Policy.SSRC_ANY_INBOUND)
    unprotect = fast_unprotect(receiver)
    encrypted = sender.protect(rtp(1))
    with pytest.raises(pylibsrtp.Error, match="authentication"):
        unprotect(encrypted[:-1] + bytes([encrypted[-1] ^ 1]))
    assert unprotect(encrypted) == rtp(1)
    with pytest.raises(pylibsrtp.Error, match="replay"):
        unprotect(encrypted)
    with pytest.raises(pylibsrtp.Error, match="replay"):
        receiver.unprotect(encrypted)
    for data in (b"", b"\x80", bytes(1501)):
        with pytest.raises((pylibsrtp.Error, ValueError)):
            unprotect(data)
    assert unprotect(sender.protect(rtp(2))) == rtp(2)


def test_an_unknown_pylibsrtp_is_refused_loudly() -> None:
    with pytest.raises(RuntimeError, match="unknown pylibsrtp"):
        fast_unprotect(object())  # type: ignore[arg-type]
