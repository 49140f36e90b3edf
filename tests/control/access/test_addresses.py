from __future__ import annotations

from ipaddress import ip_network

import pytest

from control.access.addresses import Addresses

PROXIES = Addresses((ip_network("10.0.0.0/8"), ip_network("127.0.0.1/32")))


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        # Nobody else is believed.
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        # A client may invent what stands left of what a proxy wrote.
        ("10.1.2.3", ["1.1.1.1, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["nonsense"], "10.1.2.3"),
        ("10.1.2.3", [], "10.1.2.3"),
        # One house, one /64; an address of IPv4 in a dress of IPv6 is the same.
        ("2001:db8:1:2:3::4", [], "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", [], "203.0.113.7"),
        ("fe80::1%eth0", [], "fe80::/64"),
        # This machine's own programs; but not whom a proxy of this machine speaks for.
        ("127.0.0.1", [], None),
        ("::1", [], None),
        ("127.0.0.1", ["127.0.0.1"], "127.0.0.1"),
        (None, [], None),
    ],
)
def test_whom_a_request_comes_from(
    remote: str | None, forwarded: list[str], expected: str | None
) -> None:
    assert PROXIES.client(remote, forwarded) == expected


def test_without_proxies_the_header_means_nothing() -> None:
    assert Addresses().client("127.0.0.1", ["198.51.100.1"]) is None
