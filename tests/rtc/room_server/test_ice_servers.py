"""Addresses of STUN and TURN servers, and credentials that expire."""

from __future__ import annotations

import pytest

from rtc.ice_url import IceAddress, parse_ice_url
from rtc.room_server.ice_servers import IceServers, explain_refusal, mint_turn_credentials
from utils import wall_clock_ms


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("stun:stun.example.org", IceAddress("stun.example.org", 3478, False, False, "udp")),
        ("turn:10.0.0.1:99", IceAddress("10.0.0.1", 99, True, False, "udp")),
        ("turn:h?transport=tcp", IceAddress("h", 3478, True, False, "tcp")),
        ("turns:h", IceAddress("h", 5349, True, True, "tcp")),
        ("turn:[::1]:5000", IceAddress("::1", 5000, True, False, "udp")),
    ],
)
def test_addresses(url: str, expected: IceAddress) -> None:
    assert parse_ice_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        *("", "turn:", "http://h", "turn:h:0", "turn:h:70000", "stun:h?transport=udp", "stuns:h"),
        *("turn:h?transport=sctp", "turns:h?transport=udp", "turn:h\nturn:i", "turn:a b"),
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"stun:HOST|port|tcp"):
        parse_ice_url(url)


def test_credentials_are_those_of_coturns_rest_scheme() -> None:
    """printf 1700000000:7 | openssl dgst -sha1 -hmac north -binary | base64"""
    assert mint_turn_credentials("north", 7, 1_700_000_000) == (
        "1700000000:7",
        "PPWz7PpRwxKwGzZCJzS+CZ2BJhk=",
    )


def test_a_refusal_is_explained() -> None:
    assert "expired 60 s ago" in explain_refusal("1000:7", 1060.0)
    assert "TURN_SECRET" in explain_refusal("1000:7", 900.0)
    assert "TURN_SECRET" in explain_refusal("a name", 900.0)


def test_each_participant_gets_its_own_and_they_expire() -> None:
    servers = IceServers(("stun:s",), ("turn:t", "turn:t?transport=tcp"), "secret", 60)
    stun, turn = servers.for_participant(7)
    assert (stun.urls, stun.username, stun.credential) == (("stun:s",), None, None)
    assert turn.username is not None
    expiry, _, uid = turn.username.partition(":")
    assert uid == "7"
    assert 58 <= int(expiry) - wall_clock_ms() / 1000 <= 61
    other = servers.for_participant(8)[1]
    assert other.credential != turn.credential
    assert "secret" not in repr(turn)
    assert turn.credential is not None
    assert turn.credential not in repr(turn)
    assert IceServers().for_participant(7) == ()
