"""Our descriptions as text: what we ask for, and an answer in the sections of its offer. Pure.

An answer has the offer's sections, in its order (RFC 3264, section 6): ours as aiortc wrote them,
the others rejected with port 0. Those repeat what some clients, aiortc among them, want to see in
each section, rejected or not.
"""

from __future__ import annotations

import re
from typing import Final

from rtc.signaling.sdp import RemoteDescription, Section

_OPUS_MAP: Final = re.compile(
    r"^a=rtpmap:(\d+) opus/48000/2\r\n(?!a=fmtp)", re.MULTILINE | re.IGNORECASE
)
_HEAD: Final = re.compile(r"^m=\S+ (\d+) \S+")
_OURS: Final = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:sha-256", "a=setup:")
_CODEC: Final = re.compile(r"(\d{1,3}) [!-~]{1,64}")
_PARAMETERS: Final = re.compile(r"(\d{1,3}) [ -~]{1,256}")
_MAX_FORMATS: Final = 8
"""Of a section of no use; more would make the answer longer than the room passes on."""


def announce_opus_settings(sdp: str) -> str:
    """Our description, asking the peer for mono and in-band error correction."""
    if "useinbandfec" in sdp:
        return sdp
    return _OPUS_MAP.sub(
        lambda match: f"{match[0]}a=fmtp:{match[1]} minptime=10;useinbandfec=1;stereo=0\r\n", sdp
    )


def compose_answer(offer: RemoteDescription, sdp: str) -> str:
    """Our answer in the form of `offer`; sdp: aiortc's answer to `offer.to_sdp()`."""
    head, *written = re.split(r"^(?=m=)", announce_opus_settings(sdp), flags=re.MULTILINE)
    mine = {offer.audio.index: written[0]}
    if offer.data is not None:
        mine[offer.data.index] = written[1]
    carrier = offer.transport_section
    sections: list[str] = []
    for section in offer.sections:
        if section.index in mine:
            sections.append(_as_offered(section, mine[section.index]))
        else:
            # What carries our audio is kept, though nothing flows in it.
            sections.append(_of_no_use(section, written[0], is_kept=section is carrier))
    return _with_group(head, offer) + "".join(sections)


def _with_group(head: str, offer: RemoteDescription) -> str:
    accepted = {one.mid for one in (offer.audio, offer.data, offer.transport_section) if one}
    mids = [mid for mid in offer.group if mid in accepted]
    if not mids and offer.data is not None and offer.audio.mid and offer.data.mid:
        # Nothing was said of bundling, but both have one transport.
        mids = [offer.audio.mid, offer.data.mid]
    group = f"a=group:BUNDLE {' '.join(mids)}\r\n" if mids else ""
    return re.sub(r"^a=group:BUNDLE[^\r\n]*\r\n", lambda _: group, head, flags=re.MULTILINE)


def _as_offered(section: Section, text: str) -> str:
    """Our section, with the protocol's name as the other side writes it, and a mid if it has one."""
    match = _HEAD.match(text)
    assert match is not None
    head = f"m={section.kind} {match[1]} {section.protocol}"
    text = head + text[match.end() :]
    return text if section.mid is not None else re.sub(r"a=mid:[^\r\n]*\r\n", "", text)


def _of_no_use(section: Section, ours: str, *, is_kept: bool) -> str:
    port, formats = 9 if is_kept else 0, section.formats[:_MAX_FORMATS]
    lines = [" ".join((f"m={section.kind} {port} {section.protocol}", *formats))]
    lines += ["c=IN IP4 0.0.0.0", "a=inactive"]
    lines += [] if section.mid is None else [f"a=mid:{section.mid}"]
    lines += ["a=rtcp-mux"] if section.has("rtcp-mux") else []
    for name, pattern in (("rtpmap", _CODEC), ("fmtp", _PARAMETERS)):
        found = [match for one in section.values(name) if (match := pattern.fullmatch(one))]
        lines += [f"a={name}:{match[0]}" for match in found if match[1] in formats][:_MAX_FORMATS]
    copied = (*_OURS, "a=candidate:") if is_kept else _OURS
    lines += [line for line in ours.split("\r\n") if line.startswith(copied)]
    return "".join(f"{line}\r\n" for line in lines)
