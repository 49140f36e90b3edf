"""Session descriptions as text: what we accept and what we ask for. Pure, knows no aiortc."""

from __future__ import annotations

import re

_SECTION = re.compile(r"^m=(\S+)", re.MULTILINE)
_OPUS_MAP = re.compile(r"^a=rtpmap:(\d+) opus/48000/2\r\n", re.MULTILINE | re.IGNORECASE)
_MDNS = re.compile(r"^a=candidate:[^\r\n]*\.local [^\r\n]*\r?\n", re.MULTILINE)
_NEEDED = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:")
_END = re.compile(r"^a=end-of-candidates\r?\n", re.MULTILINE)


def check_description(sdp: str) -> str:
    """A remote description without mDNS candidates, whose addresses are learnt from checks anyway.

    Raises:
        ValueError: not one audio section with Opus and at most one data channel section.
    """
    kinds = _SECTION.findall(sdp)
    if kinds.count("audio") != 1 or not set(kinds) <= {"audio", "application"} or len(kinds) > 2:
        raise ValueError("need one audio section, at most one data channel section, nothing else")
    if "opus/48000" not in sdp.lower():
        raise ValueError("need Opus in the audio section")
    if missing := [line for line in _NEEDED if f"\n{line}" not in sdp]:
        raise ValueError(f"need the lines {', '.join(missing)}")
    stripped = _MDNS.sub("", sdp)
    # An address may still be learnt from the peer's checks, so this is not the end.
    return sdp if stripped == sdp else _END.sub("", stripped)


def has_data_channel(sdp: str) -> bool:
    """Whether a data channel section is in this description."""
    return "application" in _SECTION.findall(sdp)


def announce_opus_settings(sdp: str) -> str:
    """Our description, asking the peer for mono and in-band error correction."""
    if "useinbandfec" in sdp:
        return sdp
    return _OPUS_MAP.sub(
        lambda match: f"{match[0]}a=fmtp:{match[1]} minptime=10;useinbandfec=1;stereo=0\r\n", sdp
    )
