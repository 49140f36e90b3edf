"""Remote session descriptions (SDP), read leniently and rewritten in a form that aiortc takes.

aiortc's parser is strict about lines without use, and takes sections in one order only. So no
foreign text reaches it: the needed values are read here, line by line, and written anew.
Lines that are of no use, or cannot be read, are left out. Pure, knows no aiortc. What is answered to
which offer is section 3 of `docs/signaling.md`; `sdp_answer` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from rtc.signaling.candidates import MAX_REMOTE_CANDIDATES, RemoteCandidate, read_candidate

MAX_SECTIONS: Final = 32
MAX_FINGERPRINTS: Final = 8
DEFAULT_MESSAGE_BYTES: Final = 65_536
"""Default of `max-message-size` (RFC 8841, section 6.1)."""

AUDIO_MID, DATA_MID = "0", "1"
"""Of our own offers, and of sections that have none."""

Setup = Literal["actpass", "active", "passive"]

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_MEDIA: Final = re.compile(
    r"m=([!-~]{1,32}) +(\d{1,5})(?:/\d+)? +([!-~]{1,64})((?: +[!-~]{1,64})*) *$"
)
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,64}")
_CREDENTIAL: Final = re.compile(r"[!-~]{1,256}")
_OPUS: Final = re.compile(r"(\d{1,3}) +opus/48000(?:/\d+)?\s*", re.IGNORECASE)
_FINGERPRINT: Final = re.compile(r"(sha-(?:256|384|512)) +([0-9A-F]{2}(?::[0-9A-F]{2})*)", re.I)
_DIGEST_BYTES: Final = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_EXTENSION: Final = re.compile(r"(\d{1,2})(?:/[a-z]+)? +(\S+)(?: .*)?")
_EXTENSIONS: Final = frozenset(
    {"urn:ietf:params:rtp-hdrext:sdes:mid", "urn:ietf:params:rtp-hdrext:ssrc-audio-level"}
)
_MID_EXTENSION: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
_DIRECTIONS: Final = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})
_LEGACY_SCTP: Final = "DTLS/SCTP"


class DescriptionError(ValueError):
    """A description that cannot be used; the text says what it needs, and repeats nothing of it."""


@dataclass(frozen=True)
class Section:
    """One media section as it came. `lines`: attributes as (name, value), in order."""

    index: int
    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    mid: str | None
    lines: tuple[tuple[str, str], ...]

    @property
    def is_rejected(self) -> bool:
        """Port 0 means so, unless the section shares another's transport or none."""
        return self.port == 0 and not self.has("bundle-only")

    def has(self, name: str) -> bool:
        """True if it has an attribute `name`."""
        return any(key == name for key, _ in self.lines)

    def values(self, name: str) -> Iterator[str]:
        """The values of each attribute `name`."""
        return (value for key, value in self.lines if key == name)


@dataclass(frozen=True)
class Transport:
    """ICE and DTLS parameters of one section and all bundled with it."""

    ufrag: str
    password: str
    fingerprints: tuple[str, ...]
    setup: Setup
    is_ice_lite: bool
    candidates: tuple[RemoteCandidate, ...]


@dataclass(frozen=True)
class RemoteDescription:
    """The needed part of an offer or an answer.

    `group`: mids of those that share the transport, in the order in which they came, perhaps with
    some of no use to us; `transport_section`: whose words on the transport count.
    """

    sections: tuple[Section, ...]
    audio: Section
    data: Section | None
    group: tuple[str, ...]
    transport_section: Section
    transport: Transport
    payload_type: int
    direction: str

    @property
    def audio_mid(self) -> str:
        """The mid of the audio section, or one in its place."""
        return self.audio.mid or AUDIO_MID

    @property
    def data_mid(self) -> str:
        """The mid of the data channel section, or one in its place."""
        mid = None if self.data is None else self.data.mid
        return mid or (DATA_MID if self.audio_mid != DATA_MID else AUDIO_MID)

    def to_sdp(self, *, mids: tuple[str, str] | None = None, has_data: bool | None = None) -> str:
        """The same for aiortc: one audio section, then one for data channels if there is one.

        mids: those of the two sections, if they are ours; has_data: write the second one even so.
        """
        audio_mid, data_mid = mids or (self.audio_mid, self.data_mid)
        is_with_data = self.data is not None if has_data is None else has_data
        group = f"{audio_mid} {data_mid}" if is_with_data else audio_mid
        lines = ["v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=-", "t=0 0"]
        lines += ["a=ice-lite"] if self.transport.is_ice_lite else []
        lines += [f"a=group:BUNDLE {group}", "a=msid-semantic: WMS *"]
        lines += [f"m=audio 9 UDP/TLS/RTP/SAVPF {self.payload_type}", "c=IN IP4 0.0.0.0"]
        lines += [f"a={self.direction}", f"a=mid:{audio_mid}", "a=rtcp-mux"]
        lines += [f"a=rtpmap:{self.payload_type} opus/48000/2"]
        lines += self._extensions() + self._transport_lines()
        if is_with_data:
            lines += self._data_lines(data_mid) + self._transport_lines()
        return "".join(f"{line}\r\n" for line in lines)

    def _extensions(self) -> list[str]:
        found: dict[str, str] = {}
        for value in self.audio.values("extmap"):
            match = _EXTENSION.fullmatch(value)
            if match is None or match[2] not in _EXTENSIONS or match[2] in found:
                continue
            is_useless = match[2] == _MID_EXTENSION and self.audio.mid is None
            if 1 <= int(match[1]) <= 14 and match[1] not in found.values() and not is_useless:
                found[match[2]] = match[1]
        return [f"a=extmap:{number} {uri}" for uri, number in found.items()]

    def _transport_lines(self) -> list[str]:
        transport = self.transport
        return [
            *(f"a=candidate:{candidate.to_sdp()}" for candidate in transport.candidates),
            f"a=ice-ufrag:{transport.ufrag}",
            f"a=ice-pwd:{transport.password}",
            *(f"a=fingerprint:{fingerprint}" for fingerprint in transport.fingerprints),
            f"a=setup:{transport.setup}",
        ]

    def _data_lines(self, mid: str) -> list[str]:
        data = self.data
        port = 5000 if data is None else _sctp_port(data)
        limit = DEFAULT_MESSAGE_BYTES if data is None else _message_bytes(data)
        if data is not None and is_legacy_sctp(data):
            head = [f"m=application 9 DTLS/SCTP {port}", "c=IN IP4 0.0.0.0"]
            head += [f"a=sctpmap:{port} webrtc-datachannel 65535"]
        else:
            head = ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0"]
            head += [f"a=sctp-port:{port}"]
        return [*head, f"a=mid:{mid}", f"a=max-message-size:{limit}"]


def read_offer(sdp: str) -> RemoteDescription:
    """Read what we need of an offer.

    Raises:
        DescriptionError: there is no audio section that we could answer; it says why.
    """
    return _read(sdp, default_setup="actpass", setups=("actpass", "active", "passive"))


def read_answer(sdp: str) -> RemoteDescription:
    """Read what we need of an answer.

    Raises:
        DescriptionError: our audio was refused, or something is missing; it says what.
    """
    # The default of RFC 4145, section 4.1, for an offer that leaves the choice.
    return _read(sdp, default_setup="active", setups=("active", "passive"))


def check_description(sdp: str) -> None:
    """Check that an offer has audio that could be taken, before an agent is asked to answer it.

    The agent that answers checks the rest.

    Raises:
        DescriptionError: it does not.
    """
    _, sections = _split(sdp)
    audio = [section for section in sections if section.kind == "audio"]
    if all(_opus_payload_type(section) is None for section in audio):
        _find_audio(sections)


def is_legacy_sctp(section: Section) -> bool:
    """True if a data channel section has the old form, with the port in place of the format."""
    return section.protocol.upper() == _LEGACY_SCTP


def _read(sdp: str, *, default_setup: Setup, setups: tuple[Setup, ...]) -> RemoteDescription:
    session, sections = _split(sdp)
    groups = [_mids(value) for name, value in session.lines if name == "group"]
    sections = _with_missing_mids(sections, groups)
    audio = _find_audio(sections)
    group = next((group for group in groups if audio.mid in group), ())
    tagged = _find_tagged(sections, group, audio)
    transport = _read_transport(session, tagged, audio, default_setup, setups)
    data = next((one for one in sections if _is_data(one) and not one.is_rejected), None)
    if data is not None and not _is_shared(session, audio, data, group):
        data = None
    return RemoteDescription(
        sections=tuple(sections),
        audio=audio,
        data=data,
        group=group,
        transport_section=tagged,
        transport=transport,
        payload_type=_opus_payload_type(audio) or 0,
        direction=_direction(session, audio),
    )


# -- lines -----------------------------------------------------------------------------------------


def _split(sdp: str) -> tuple[Section, list[Section]]:
    """Return the session part, as a section without medium, and the media sections."""
    heads: list[str] = []
    parts: list[list[tuple[str, str]]] = [[]]
    for line in _LINE_END.split(sdp):
        if line.startswith("m="):
            heads.append(line)
            parts.append([])
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            parts[-1].append((name.strip(), value.strip()))
    if len(heads) > MAX_SECTIONS:
        raise DescriptionError(f"at most {MAX_SECTIONS} media sections")
    session = Section(-1, "", 0, "", (), None, tuple(parts[0]))
    sections = [
        _section(index, head, lines)
        for index, (head, lines) in enumerate(zip(heads, parts[1:], strict=True))
    ]
    mids = [section.mid for section in sections if section.mid is not None]
    if len(mids) != len(set(mids)):
        raise DescriptionError("two media sections have the same mid")
    return session, sections


def _section(index: int, head: str, lines: list[tuple[str, str]]) -> Section:
    if (match := _MEDIA.match(head)) is None:
        raise DescriptionError(f"the m= line of media section {index} cannot be read")
    mid = next((value for name, value in lines if name == "mid" and _TOKEN.fullmatch(value)), None)
    formats = tuple(match[4].split())
    return Section(index, match[1].lower(), int(match[2]), match[3], formats, mid, tuple(lines))


def _mids(value: str) -> tuple[str, ...]:
    semantics, *mids = value.split() or [""]
    return tuple(dict.fromkeys(mids)) if semantics.upper() == "BUNDLE" else ()


def _with_missing_mids(sections: list[Section], groups: Sequence[tuple[str, ...]]) -> list[Section]:
    """Sections that lost their mids, given those that a group still names, when these are as many."""
    known = {section.mid for section in sections}
    bare = [section for section in sections if section.mid is None]
    free = [mid for group in groups for mid in group if mid not in known]
    if len(bare) != len(free) or not all(_TOKEN.fullmatch(mid) for mid in free):
        return sections
    given = iter(free)
    return [replace(one, mid=next(given)) if one.mid is None else one for one in sections]


# -- what is looked for ----------------------------------------------------------------------------


def _find_audio(sections: Iterable[Section]) -> Section:
    problems: list[str] = []
    for section in sections:
        if section.kind != "audio":
            continue
        if (problem := _audio_problem(section)) is None:
            return section
        problems.append(problem)
    raise DescriptionError(problems[0] if problems else "need an audio section")


def _audio_problem(section: Section) -> str | None:
    if section.is_rejected:
        return "need an audio section, this one is rejected (port 0)"
    if _opus_payload_type(section) is None:
        return "need Opus in the audio section (a=rtpmap with opus/48000/2)"
    if not section.has("rtcp-mux"):
        return "need a=rtcp-mux in the audio section: there is no port for RTCP alone"
    return None


def _opus_payload_type(section: Section) -> int | None:
    found = [int(match[1]) for one in section.values("rtpmap") if (match := _OPUS.fullmatch(one))]
    usable = [one for one in found if one < 64 or 96 <= one < 128]
    listed = [one for one in usable if str(one) in section.formats]
    return min(listed, key=lambda one: one < 96, default=None)


def _direction(session: Section, audio: Section) -> str:
    for section in (audio, session):
        if found := [name for name, _ in section.lines if name in _DIRECTIONS]:
            return found[-1]
    return "sendrecv"


def _is_data(section: Section) -> bool:
    if section.kind != "application" or "DTLS/SCTP" not in section.protocol.upper():
        return False
    return is_legacy_sctp(section) or "webrtc-datachannel" in section.formats


def _is_shared(session: Section, audio: Section, data: Section, group: tuple[str, ...]) -> bool:
    """True if both run over one transport: in one group or, without groups, by equal credentials."""
    if data.mid is not None and data.mid in group:
        return True
    is_said = any(_mids(value) for value in session.values("group"))
    secrets = [
        [next(one.values(name), next(session.values(name), None)) for one in (audio, data)]
        for name in ("ice-ufrag", "ice-pwd")
    ]
    return not is_said and all(first == second for first, second in secrets)


def _sctp_port(data: Section) -> int:
    text = data.formats[0] if is_legacy_sctp(data) and data.formats else None
    text = text or next(data.values("sctp-port"), "")
    is_port = text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65_536
    return int(text[:6]) if is_port else 5000


def _message_bytes(data: Section) -> int:
    text = next(data.values("max-message-size"), "")
    is_number = text.isascii() and text.isdigit() and len(text) <= 19
    return int(text) if is_number else DEFAULT_MESSAGE_BYTES


# -- the transport ---------------------------------------------------------------------------------


def _find_tagged(sections: Sequence[Section], group: tuple[str, ...], audio: Section) -> Section:
    """The section of the group whose words on the transport count (RFC 9143, section 7.3.1)."""
    by_mid = {section.mid: section for section in sections}
    members = [by_mid[mid] for mid in group if mid in by_mid and by_mid[mid].port != 0]
    # One that we would reject cannot carry the others, unless audio has no transport of its own.
    usable = [one for one in members if one is audio or _is_data(one)]
    if members and _is_carried(audio, members[0]):
        usable = members
    return next(iter(usable), audio)


def _is_carried(audio: Section, first: Section) -> bool:
    """True if `audio` was never to have a transport besides that of `first` (max-bundle)."""
    if audio.port == 0:
        return True
    ufrags = [next(one.values("ice-ufrag"), None) for one in (audio, first)]
    return not audio.has("candidate") and ufrags[0] is not None and ufrags[0] == ufrags[1]


def _read_transport(
    session: Section,
    tagged: Section,
    audio: Section,
    default_setup: Setup,
    setups: tuple[Setup, ...],
) -> Transport:
    # Some say it in the first section only, some for all of them, some in each.
    places = (tagged, session) if tagged is audio else (tagged, audio, session)
    ufrag = _first(places, "ice-ufrag", _CREDENTIAL)
    password = _first(places, "ice-pwd", _CREDENTIAL)
    if ufrag is None or password is None:
        raise DescriptionError("need a=ice-ufrag and a=ice-pwd")
    fingerprints = next(filter(None, map(_fingerprints, places)), ())
    if not fingerprints:
        raise DescriptionError("need a=fingerprint with sha-256, sha-384 or sha-512")
    said = next((value.lower() for one in places for value in one.values("setup")), "")
    return Transport(
        ufrag=ufrag,
        password=password,
        fingerprints=fingerprints,
        setup=next((setup for setup in setups if setup == said), default_setup),
        is_ice_lite=session.has("ice-lite"),
        candidates=_candidates(places, ufrag),
    )


def _first(places: Iterable[Section], name: str, pattern: re.Pattern[str]) -> str | None:
    found = (value for place in places for value in place.values(name))
    return next((value for value in found if pattern.fullmatch(value)), None)


def _fingerprints(section: Section) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for value in section.values("fingerprint"):
        match = _FINGERPRINT.fullmatch(value)
        if match and len(match[2]) == _DIGEST_BYTES[match[1].lower()] * 3 - 1:
            found[f"{match[1].lower()} {match[2].upper()}"] = None
    return tuple(found)[:MAX_FINGERPRINTS]


def _candidates(places: Iterable[Section], ufrag: str) -> tuple[RemoteCandidate, ...]:
    """Those of the transport: of its own section, and of others with the same secret."""
    found: dict[tuple[str, int], RemoteCandidate] = {}
    for place in places:
        if next(place.values("ice-ufrag"), ufrag) != ufrag:
            continue
        for value in place.values("candidate"):
            candidate = read_candidate(value)
            if candidate is not None and len(found) < MAX_REMOTE_CANDIDATES:
                found.setdefault((candidate.address, candidate.port), candidate)
    return tuple(found.values())
