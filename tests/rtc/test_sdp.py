"""Descriptions: what is accepted, refused, stripped and asked for."""

from __future__ import annotations

import pytest

from rtc import sdp as descriptions

OFFER = (
    "v=0\r\na=ice-ufrag:x\r\na=ice-pwd:y\r\na=fingerprint:sha-256 00\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n"
    "a=candidate:1 1 udp 1 1b9a-22.local 5000 typ host\r\n"
    "a=candidate:2 1 udp 1 127.0.0.1 5000 typ host\r\na=end-of-candidates\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
)


def test_mdns_candidates_and_the_end_mark_after_them_go() -> None:
    checked = descriptions.check_description(OFFER)
    assert ".local" not in checked
    assert "end-of-candidates" not in checked
    assert "127.0.0.1" in checked
    without_mdns = OFFER.replace("1b9a-22.local", "10.0.0.1")
    assert descriptions.check_description(without_mdns) == without_mdns


@pytest.mark.parametrize(
    "sdp",
    [
        "",
        "v=0\r\n",
        OFFER.replace("opus", "vorbis"),
        OFFER.replace("fingerprint", "thumbprint"),
        OFFER + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
        OFFER.replace("m=application", "m=audio"),
        OFFER.replace("m=audio", "m=text"),
    ],
)
def test_other_descriptions_are_refused(sdp: str) -> None:
    with pytest.raises(ValueError, match="need"):
        descriptions.check_description(sdp)


def test_our_description_asks_for_error_correction() -> None:
    assert "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 " in descriptions.announce_opus_settings(OFFER)
    announced = descriptions.announce_opus_settings(OFFER)
    assert "useinbandfec=1" in announced
    assert descriptions.announce_opus_settings(announced) == announced
    assert descriptions.has_data_channel(OFFER)
