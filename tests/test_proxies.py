"""Which proxy an outbound connection takes, by the variables of the environment."""

from __future__ import annotations

import pytest
import yarl

from proxies import InvalidProxyError, is_loopback, outbound_proxy, proxy_name

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize("url", ["https://api.example/v1", "wss://api.example/v1"])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_what_is_encrypted_takes_its_proxy_or_the_common_one(url: str, name: str) -> None:
    assert outbound_proxy(url, {name: PROXY}) == yarl.URL(PROXY)


@pytest.mark.parametrize("url", ["http://api.example/v1", "ws://api.example/v1"])
def test_what_is_plain_takes_its_own_proxy(url: str) -> None:
    assert outbound_proxy(url, {"HTTPS_PROXY": PROXY}) is None
    assert outbound_proxy(url, {"HTTP_PROXY": PROXY}) == yarl.URL(PROXY)
    assert outbound_proxy(yarl.URL(url), {"all_proxy": PROXY}) == yarl.URL(PROXY)


def test_small_letters_and_the_closer_variable_go_first() -> None:
    environ = {
        "ALL_PROXY": "http://c:1",
        "HTTPS_PROXY": "http://b:1",
        "https_proxy": "http://a:1",
    }
    assert outbound_proxy("https://api.example", environ) == yarl.URL("http://a:1")
    environ["https_proxy"] = " "
    assert outbound_proxy("https://api.example", environ) == yarl.URL("http://b:1")


def test_a_proxy_may_lack_its_scheme_and_hold_a_password() -> None:
    environ = {"HTTPS_PROXY": "user:secret@proxy.example:3128"}
    proxy = outbound_proxy("https://api.example", environ)
    assert proxy is not None
    assert (proxy.user, proxy.password) == ("user", "secret")
    assert proxy_name(proxy) == "proxy.example:3128"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "0.0.0.0"]
)
def test_this_machine_is_never_reached_through_a_proxy(host: str) -> None:
    environ = {"ALL_PROXY": PROXY, "HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY}
    for scheme in ("http", "https", "ws", "wss"):
        assert outbound_proxy(f"{scheme}://{host}:8000/", environ) is None
    assert is_loopback(host)


def test_a_mapped_address_of_this_machine_is_this_machine() -> None:
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("::ffff:10.0.0.1")
    assert not is_loopback("localhost.example")


@pytest.mark.parametrize(
    ("exceptions", "url", "is_excepted"),
    [
        ("*", "https://api.example", True),
        ("api.example", "https://api.example", True),
        ("API.example.", "https://api.EXAMPLE", True),
        ("example", "https://api.example", True),
        (".example", "https://api.example", True),
        ("*.example", "https://api.example", True),
        ("ample", "https://api.example", False),
        ("other, api.example", "https://api.example", True),
        ("other api.example", "https://api.example", True),
        ("api.example:443", "https://api.example", True),
        ("api.example:8443", "https://api.example", False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.1.2.3", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/8:443", "https://10.1.2.3", True),
        ("fd00::/8", "https://[fd00::1]", True),
        ("[fd00::1]:443", "https://[fd00::1]", True),
        ("[fd00::1]:444", "https://[fd00::1]", False),
        ("fd00::1", "https://[fd00::1]", True),
        ("10.0.0.0/8", "https://api.example", False),
        ("nonsense/99, ,", "https://10.1.2.3", False),
        ("", "https://api.example", False),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_exceptions(name: str, exceptions: str, url: str, is_excepted: bool) -> None:
    proxy = outbound_proxy(url, {"HTTPS_PROXY": PROXY, name: exceptions})
    assert (proxy is None) == is_excepted


@pytest.mark.parametrize("value", ["socks5://user:secret@proxy.example", "http://", "http://["])
def test_what_cannot_be_a_proxy_is_said_without_its_password(value: str) -> None:
    with pytest.raises(InvalidProxyError, match=r"^HTTPS_PROXY") as caught:
        outbound_proxy("https://api.example", {"HTTPS_PROXY": value})
    assert "secret" not in str(caught.value)


def test_other_kinds_of_address_have_no_proxy() -> None:
    assert outbound_proxy("turn:turn.example", {"ALL_PROXY": PROXY}) is None
    assert outbound_proxy("file:///etc/hosts", {"ALL_PROXY": PROXY}) is None
