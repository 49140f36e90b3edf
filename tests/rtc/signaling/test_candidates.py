"""Which addresses that others name may be sent to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.signaling.candidates import RemoteCandidate, read_candidate

REST = "typ host generation 0"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("candidate:1 1 udp 2130706431 10.0.0.1 5000 typ host", "10.0.0.1"),
        ("a=candidate:1 1 UDP 7 192.168.1.2 5000 typ srflx raddr 10.0.0.1 rport 9", "192.168.1.2"),
        ("1 1 udp 7 127.0.0.1 5000 typ relay", "127.0.0.1"),
        ("candidate:1 1 udp 7 fd00::1 5000 typ host", "fd00::1"),
        ("candidate:1 1 udp 7 2001:DB8::1 5000 typ host ufrag x network-cost 10", "2001:db8::1"),
        ("candidate:a:b 1 udp 99999999 172.16.0.9 65535 typ host", "172.16.0.9"),
    ],
)
def test_addresses_of_any_network_are_taken(text: str, address: str) -> None:
    candidate = read_candidate(text)
    assert candidate is not None
    assert candidate.address == address
    assert read_candidate(candidate.to_sdp()) == candidate


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.251", "239.1.2.3", "240.0.0.1"),
        *("169.254.169.254", "fe80::1", "fe80::1%eth0", "ff02::fb", "::", "::ffff:10.0.0.1"),
        *("1b9a-22.local", "metadata.example.org", "localhost", "10.0.0", "10.0.0.1:80", "[::1]"),
    ],
)
def test_addresses_for_many_or_nobody_and_names_are_not(address: str) -> None:
    assert read_candidate(f"candidate:1 1 udp 7 {address} 5000 {REST}") is None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "candidate:",
            "candidate:nonsense",
            "candidate:77 1 udp",
            "candidate:1 1 udp 7 10.0.0.1",
        ),
        f"candidate:1 1 udp 7 10.0.0.1 0 {REST}",
        f"candidate:1 1 udp 7 10.0.0.1 65536 {REST}",
        f"candidate:1 1 udp 7 10.0.0.1 -1 {REST}",
        f"candidate:1 1 udp x 10.0.0.1 5000 {REST}",
        f"candidate:1 2 udp 7 10.0.0.1 5000 {REST}",
        f"candidate:1 1 tcp 7 10.0.0.1 9 {REST} tcptype active",
        "candidate:1 1 udp 7 10.0.0.1 5000 typ prflx",
        "candidate:1 1 udp 7 10.0.0.1 5000 tap host",
    ],
)
def test_lines_of_no_use_are_left_out(text: str) -> None:
    assert read_candidate(text) is None


def test_large_numbers_are_kept_in_the_range_of_ice() -> None:
    candidate = read_candidate("candidate:1 1 udp 9999999999 10.0.0.1 5 typ host")
    assert candidate == RemoteCandidate("1", 2**31 - 1, "10.0.0.1", 5, "host")


@given(st.text(), st.integers(0, 8))
def test_whatever_is_named_is_read_or_left_out(word: str, place: int) -> None:
    words = f"candidate:1 1 udp 7 10.0.0.1 5000 {REST}".split(" ")
    words[place] = word
    candidate = read_candidate(" ".join(words))
    assert candidate is None or read_candidate(candidate.to_sdp()) == candidate
