"""The allow-list of hosts of HTTP tools."""

from __future__ import annotations

import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

from toolsets.http_hosts import HttpHosts

LISTED = (
    "api.example.com",
    "*.orders.example",
    "odd.example:8443",
    "127.0.0.1:9000",
    "10.1.0.0/16",
    "[fd00::1]:80",
    "localhost:81",
)


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://api.example.com/x", True),
        ("http://API.example.com./x", True),
        ("https://api.example.com:444/", False),
        ("https://other.example.com/", False),
        ("https://api.example.com.evil.example/", False),
        ("https://eu.orders.example/", True),
        ("https://a.b.orders.example/", True),
        ("https://orders.example/", False),
        ("https://evilorders.example/", False),
        ("https://odd.example:8443/", True),
        ("https://odd.example/", False),
        ("http://127.0.0.1:9000/", True),
        ("http://127.0.0.1:9001/", False),
        ("http://127.0.0.2:9000/", False),
        ("http://10.1.2.3/", True),
        ("http://10.2.2.3/", False),
        ("http://[fd00::1]/", True),
        ("http://[::ffff:10.1.2.3]/", True),
        ("http://localhost:81/", True),
        ("http://localhost/", False),
    ],
)
def test_a_url_is_allowed_by_name_and_port(url: str, is_allowed: bool) -> None:
    assert HttpHosts(LISTED).allows(yarl.URL(url)) is is_allowed
    assert not HttpHosts().allows(yarl.URL(url))


@pytest.mark.parametrize(
    ("host", "address", "is_allowed"),
    [
        ("api.example.com", "93.184.215.14", True),
        ("api.example.com", "10.1.2.3", True),  # listed as a network
        ("api.example.com", "10.2.2.3", False),
        ("api.example.com", "127.0.0.1", True),  # listed as an address
        ("api.example.com", "127.0.0.2", False),
        ("api.example.com", "169.254.169.254", False),
        ("api.example.com", "100.64.0.1", False),
        ("api.example.com", "224.0.0.1", False),
        ("api.example.com", "::1", False),
        ("api.example.com", "::ffff:192.168.0.1", False),
        ("api.example.com", "fe80::1%eth0", False),
        ("api.example.com", "2606:2800:21f::1", True),
        ("localhost", "::1", True),
        ("localhost", "192.168.0.1", False),
        ("api.example.com", "nonsense", False),
    ],
)
def test_a_name_leads_to_public_and_listed_addresses_only(
    host: str, address: str, is_allowed: bool
) -> None:
    assert HttpHosts(LISTED).allows_address(host, address) is is_allowed


@pytest.mark.parametrize(
    "entry",
    ["https://x.example", "a/b", "x.example:0", "x.example:99999", "*", "1.2.3", "a..b", "-"],
)
def test_what_is_no_host_is_refused_by_name(entry: str) -> None:
    with pytest.raises(ValueError, match=r"host|port"):
        HttpHosts([entry])


@given(st.text(max_size=60))
def test_any_text_is_an_entry_or_is_refused(text: str) -> None:
    try:
        hosts = HttpHosts([text])
    except ValueError:
        return
    assert not hosts.allows(yarl.URL("http://169.254.169.254/"))
