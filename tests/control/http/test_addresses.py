from __future__ import annotations

from ipaddress import ip_network

import pytest

from control.http.addresses import Addresses
from http_server.connections import Asker

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
        # Some proxies write the client's port too.
        ("127.0.0.1", ["203.0.113.9:41234"], "203.0.113.9"),
        ("127.0.0.1", ["[2001:db8:1:2:3::4]:41234"], "2001:db8:1:2::/64"),
        ("127.0.0.1", ['"[2001:db8:1:2:3::4]:41234"'], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["[2001:db8:1:2:3::4]"], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["1.1.1.1, 203.0.113.9:1, 10.9.9.9:80"], "203.0.113.9"),
        # Whom it names unreadably it answers for itself, this machine's proxies too.
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", [","], "127.0.0.1"),
        ("127.0.0.1", ["unknown"], "127.0.0.1"),
        ("127.0.0.1", ["_hidden:7"], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9:"], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.999:80"], "127.0.0.1"),
        ("127.0.0.1", ["1.1.1.1, \udcff"], "127.0.0.1"),
        ("127.0.0.1", ["127.0.0.1:99"], "127.0.0.1"),
        ("::1", ["203.0.113.9"], None),
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


@pytest.mark.parametrize(
    ("remote", "name", "is_limited"),
    [
        ("203.0.113.7", "203.0.113.7", True),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.2", "127.0.0.2", False),
        ("10.1.2.3", "10.1.2.3", False),
    ],
)
def test_whom_a_connection_comes_from(remote: str, name: str, is_limited: bool) -> None:
    assert PROXIES.peer(remote) == Asker(name, is_limited)
