"""Descriptions of others: what is needed of them, what is mended, left out and refused."""

from __future__ import annotations

import pytest
from aiortc.sdp import SessionDescription

from rtc.signaling import sdp as descriptions
from rtc.signaling.sdp import DescriptionError, read_answer, read_offer
from rtc.signaling.sdp_answer import announce_opus_settings, compose_answer

DIGEST = ":".join(["AB"] * 32)
SECRETS = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
SETUP = f"a=fingerprint:sha-256 {DIGEST}\r\na=setup:actpass\r\n"
HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
AUDIO = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 0 111\r\nc=IN IP4 0.0.0.0\r\na=mid:a\r\na=sendrecv\r\n"
    "a=rtcp-mux\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:111 opus/48000/2\r\n"
    f"a=candidate:1 1 udp 1 10.0.0.1 5000 typ host\r\n{SECRETS}{SETUP}"
)
DATA = (
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:d\r\n"
    f"a=sctp-port:5001\r\na=max-message-size:1000\r\n{SECRETS}{SETUP}"
)
VIDEO = (
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:v\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n"
    f"a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=ice-ufrag:vvvv\r\na=ice-pwd:{'v' * 22}\r\n"
)
GROUP = "a=group:BUNDLE a d\r\n"
OFFER = HEAD + GROUP + AUDIO + DATA


def _sections(sdp: str) -> list[str]:
    return [line for line in sdp.split("\r\n") if line.startswith("m=")]


def _answer(offer: str) -> str:
    """As aiortc would, but for what it says of itself."""
    remote = read_offer(offer)
    return compose_answer(remote, remote.to_sdp())


def test_what_is_needed_is_written_anew_as_aiortc_takes_it() -> None:
    parsed = SessionDescription.parse(read_offer(OFFER).to_sdp())
    audio, data = parsed.media
    assert [(one.kind, one.rtp.muxId) for one in parsed.media] == [
        ("audio", "a"),
        ("application", "d"),
    ]
    assert [(one.payloadType, one.name) for one in audio.rtp.codecs] == [(111, "opus")]
    assert audio.ice is not None
    assert audio.ice.usernameFragment == "abcd"
    assert [one.ip for one in audio.ice_candidates] == ["10.0.0.1"]
    assert data.sctpCapabilities is not None
    assert (data.sctp_port, data.sctpCapabilities.maxMessageSize) == (5001, 1000)


@pytest.mark.parametrize(
    "line",
    [
        "a=extmap:14 urn:ietf:params:rtp-hdrext:ssrc-audio-level vad=on",
        *("a=extmap:x y", "a=extmap:", "a=extmap:300 urn:ietf:params:rtp-hdrext:sdes:mid"),
        *("a=ssrc:1", "a=ssrc:x cname:y", "a=ssrc-group:FID a b", "a=fmtp:96", "a=fmtp:x y=z"),
        *("a=fmtp:111 stereo=x", "a=rtpmap:111", "a=rtpmap:x opus/48000/2", "a=rtpmap:5 a/b/c"),
        *("a=candidate:77 1 udp", "a=candidate:x x x x x x x x", "a=rtcp:x", "a=rtcp:9 IN"),
        *("a=rtcp-fb:111", "a=msid", "a=sctpmap:x", "a=setup:holdconn", "a=setup"),
        *("a=fingerprint:md5 00", "a=fingerprint:sha-256", "a=fingerprint:sha-256 zz:zz"),
        *("a=max-message-size:x", "a=sctp-port:x", "a=ice-options", "a=crypto:1 x", "a=", "a=:"),
        *("c=IN IP9 ::", "b=AS:x", "x", "=", "k=clear:x", "i=\ud800", "a=mid:", "v=x", "a=group"),
        *(
            "a=end-of-candidates:1",
            "a=group:BUNDLE",
            "a=msid-semantic",
            "a=rid:x send",
            "a=ptime:x",
        ),
    ],
)
@pytest.mark.parametrize("place", ["session", "audio", "data"])
def test_a_line_nobody_needs_is_left_out(line: str, place: str) -> None:
    after = {"session": "t=0 0\r\n", "audio": "a=mid:a\r\n", "data": "a=mid:d\r\n"}[place]
    remote = read_offer(OFFER.replace(after, f"{after}{line}\r\n"))
    parsed = SessionDescription.parse(remote.to_sdp())
    assert [one.kind for one in parsed.media] == ["audio", "application"]
    assert [one.mid for one in remote.sections] == ["a", "d"]


@pytest.mark.parametrize(
    ("offer", "direction"),
    [
        (OFFER.replace("a=sendrecv\r\n", ""), "sendrecv"),
        (OFFER.replace("a=sendrecv\r\n", "").replace("t=0 0", "t=0 0\r\na=sendonly"), "sendonly"),
        (OFFER.replace("t=0 0", "t=0 0\r\na=inactive"), "sendrecv"),
        (OFFER.replace("a=sendrecv", "a=recvonly"), "recvonly"),
    ],
)
def test_the_direction_is_that_of_the_section_or_the_session_or_both(
    offer: str, direction: str
) -> None:
    assert f"a={direction}\r\n" in read_offer(offer).to_sdp()


@pytest.mark.parametrize(
    ("offer", "need"),
    [
        ("", "need an audio section"),
        ("v=0\r\n", "need an audio section"),
        (HEAD + DATA, "need an audio section"),
        (OFFER.replace("m=audio", "m=text"), "need an audio section"),
        (OFFER.replace("m=audio 9", "m=audio 0"), "port 0"),
        (OFFER.replace("opus", "vorbis"), "need Opus"),
        (OFFER.replace("SAVPF 0 111", "SAVPF 0"), "need Opus"),
        (OFFER.replace("a=rtcp-mux\r\n", ""), "need a=rtcp-mux"),
        (OFFER.replace("ice-ufrag", "ice-uf"), "need a=ice-ufrag"),
        (
            OFFER.replace("a=ice-pwd:", "a=ice-pwd: "[:10] + "\x00"),
            "need a=ice-ufrag and a=ice-pwd",
        ),
        (OFFER.replace("fingerprint", "thumbprint"), "need a=fingerprint"),
        (OFFER.replace("sha-256", "sha-1"), "need a=fingerprint"),
        (OFFER.replace(DIGEST, DIGEST[3:]), "need a=fingerprint"),
        (OFFER.replace("a=mid:d", "a=mid:a"), "same mid"),
        (OFFER.replace("m=audio 9", "m=audio x"), "m= line of media section 0"),
        (OFFER + "m=video\r\n", "m= line of media section 2"),
        (OFFER + "m=video 9 X 1\r\n" * 40, "at most 32"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_what_it_needs(offer: str, need: str) -> None:
    with pytest.raises(DescriptionError, match=need):
        read_offer(offer)


@pytest.mark.parametrize("offer", ["", "hello", HEAD + DATA, OFFER.replace("opus", "vorbis")])
def test_what_has_no_voice_is_refused_before_anybody_is_asked(offer: str) -> None:
    with pytest.raises(DescriptionError, match="need"):
        descriptions.check_description(offer)
    descriptions.check_description(OFFER)


def test_what_is_said_once_for_all_sections_counts_for_each() -> None:
    bare = (
        OFFER.replace(SECRETS, "")
        .replace(SETUP, "")
        .replace("t=0 0\r\n", f"t=0 0\r\n{SECRETS}{SETUP}")
    )
    assert read_offer(bare).transport == read_offer(OFFER).transport
    only_first = HEAD + GROUP + AUDIO + DATA.replace(SECRETS, "").replace(SETUP, "")
    assert read_offer(only_first).to_sdp() == read_offer(OFFER).to_sdp()


def test_any_order_of_sections_is_taken_and_answered_in_that_order() -> None:
    swapped = HEAD + "a=group:BUNDLE d a\r\n" + DATA + AUDIO
    remote = read_offer(swapped)
    assert [one.kind for one in SessionDescription.parse(remote.to_sdp()).media] == [
        "audio",
        "application",
    ]
    answer = _answer(swapped)
    assert [line.split(" ")[:2] for line in _sections(answer)] == [
        ["m=application", "9"],
        ["m=audio", "9"],
    ]
    assert "a=group:BUNDLE d a\r\n" in answer


@pytest.mark.parametrize(
    ("offer", "heads", "group"),
    [
        (HEAD + "a=group:BUNDLE v a d\r\n" + VIDEO + AUDIO + DATA, ["video 0", "audio 9", "application 9"], "a d"),
        (HEAD + "a=group:BUNDLE a d v\r\n" + AUDIO + DATA + VIDEO, ["audio 9", "application 9", "video 0"], "a d"),
        (HEAD + "a=group:BUNDLE a b\r\n" + AUDIO + AUDIO.replace("mid:a", "mid:b"), ["audio 9", "audio 0"], "a"),
        (HEAD + "a=group:BUNDLE b a\r\n" + AUDIO.replace("mid:a", "mid:b").replace("opus", "g") + AUDIO, ["audio 0", "audio 9"], "a"),
        (HEAD + "a=group:BUNDLE a\r\n" + AUDIO + DATA.replace("abcd", "efgh"), ["audio 9", "application 0"], "a"),
        (HEAD + AUDIO + DATA.replace("abcd", "efgh"), ["audio 9", "application 0"], None),
        (HEAD + AUDIO + DATA, ["audio 9", "application 9"], "a d"),
        (HEAD + GROUP + AUDIO + DATA.replace("application 9", "application 0"), ["audio 9", "application 0"], "a"),
        (HEAD + AUDIO.replace("a=mid:a\r\n", ""), ["audio 9"], None),
        (OFFER + "m=text 9 RTP/AVP 98\r\n" + "m=application 9 UDP/BFCP *\r\n", ["audio 9", "application 9", "text 0", "application 0"], "a d"),
    ],
)  # fmt: skip
def test_sections_of_no_use_are_rejected_and_the_offer_is_answered(
    offer: str, heads: list[str], group: str | None
) -> None:
    answer = _answer(offer)
    assert [" ".join(line[2:].split(" ")[:2]) for line in _sections(answer)] == heads
    offered, answered = SessionDescription.parse(offer), SessionDescription.parse(answer)
    assert [(one.kind, one.profile, one.rtp.muxId) for one in answered.media] == [
        (one.kind, one.profile, one.rtp.muxId) for one in offered.media
    ]
    assert [" ".join(map(str, one.items)) for one in answered.group] == ([group] if group else [])


def test_a_section_that_carries_audio_is_kept_though_it_is_of_no_use() -> None:
    """With max-bundle the others say nothing of the transport, and have port 0."""
    bare = (
        AUDIO.replace("audio 9", "audio 0").replace(SECRETS, "a=bundle-only\r\n").replace(SETUP, "")
    )
    video = VIDEO + SETUP + "a=candidate:1 1 udp 1 10.0.0.7 5000 typ host\r\n"
    offer = HEAD + "a=group:BUNDLE v a\r\n" + video + bare
    remote = read_offer(offer)
    assert remote.transport.ufrag == "vvvv"
    assert [one.address for one in remote.transport.candidates] == ["10.0.0.7", "10.0.0.1"]
    answer = _answer(offer)
    assert [line.split(" ")[:2] for line in _sections(answer)] == [
        ["m=video", "9"],
        ["m=audio", "9"],
    ]
    assert "a=group:BUNDLE v a\r\n" in answer
    assert answer.split("m=video")[1].count("a=inactive") == 1


def test_a_section_leads_that_shares_its_secret_with_audio_that_has_no_address() -> None:
    """As Chromium does with max-bundle: ports 9, one user name for all."""
    bare = AUDIO.replace("a=candidate:1 1 udp 1 10.0.0.1 5000 typ host\r\n", "")
    video = VIDEO.replace("vvvv", "abcd") + SETUP
    offer = HEAD + "a=group:BUNDLE v a\r\n" + video + bare
    assert [line.split(" ")[1] for line in _sections(_answer(offer))] == ["9", "9"]
    of_its_own = offer.replace(
        "a=mid:a\r\n", "a=mid:a\r\na=candidate:1 1 udp 1 10.0.0.1 5 typ host\r\n"
    )
    assert [line.split(" ")[1] for line in _sections(_answer(of_its_own))] == ["0", "9"]


def test_mids_that_the_group_still_names_are_given_back() -> None:
    offer = OFFER.replace("a=mid:a\r\n", "").replace("a=mid:d\r\n", "")
    remote = read_offer(offer)
    assert [one.mid for one in remote.sections] == ["a", "d"]
    assert "a=mid:a\r\n" in _answer(offer)


def test_without_mids_and_group_there_are_none_in_the_answer_either() -> None:
    offer = HEAD + AUDIO.replace(
        "a=mid:a\r\n", "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
    )
    answer = _answer(offer)
    assert "a=mid" not in answer
    assert "BUNDLE" not in answer
    assert "sdes:mid" not in answer


def test_the_old_form_of_data_channel_sections_is_taken() -> None:
    old = DATA.replace("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5003")
    media = SessionDescription.parse(read_offer(HEAD + GROUP + AUDIO + old).to_sdp()).media[1]
    assert (media.profile, media.fmt, media.sctpmap) == (
        "DTLS/SCTP",
        ["5003"],
        {5003: "webrtc-datachannel 65535"},
    )


@pytest.mark.parametrize(
    ("said", "is_server"), [("active", False), ("passive", True), ("x", False)]
)
def test_an_answer_takes_a_role(said: str, is_server: bool) -> None:
    remote = read_answer(OFFER.replace("setup:actpass", f"setup:{said}"))
    assert remote.transport.setup == ("passive" if is_server else "active")


def test_an_answer_that_leaves_the_data_channel_out_is_completed_for_aiortc() -> None:
    remote = read_answer(HEAD + "a=group:BUNDLE a\r\n" + AUDIO)
    assert remote.data is None
    parsed = SessionDescription.parse(remote.to_sdp(mids=("0", "1"), has_data=True))
    assert [(one.kind, one.rtp.muxId) for one in parsed.media] == [
        ("audio", "0"),
        ("application", "1"),
    ]


def test_candidates_are_bounded_and_names_are_left_out() -> None:
    many = "".join(
        f"a=candidate:1 1 udp 1 10.0.{n // 250}.{n % 250 + 1} 5000 typ host\r\n" for n in range(900)
    )
    hidden = "a=candidate:1 1 udp 1 1b9a-22.local 5000 typ host\r\na=end-of-candidates\r\n"
    remote = read_offer(OFFER.replace("a=mid:a\r\n", f"a=mid:a\r\n{hidden}{many}"))
    assert len(remote.transport.candidates) == 32
    assert ".local" not in remote.to_sdp()
    # Addresses may still be learnt from checks that come.
    assert "end-of-candidates" not in remote.to_sdp()


def test_our_description_asks_for_error_correction() -> None:
    announced = announce_opus_settings(OFFER)
    assert "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 " in announced
    assert "useinbandfec=1" in announced
    assert announce_opus_settings(announced) == announced
