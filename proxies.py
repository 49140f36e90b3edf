"""Selects the proxy of an outbound connection from the usual environment variables.

`HTTPS_PROXY` (for https and wss), `HTTP_PROXY` (for http and ws) and `ALL_PROXY` (for both) name it.
`NO_PROXY` lists exceptions: host names with all names below them, addresses, networks
(`10.0.0.0/8`), each optionally with a port; or `*`. Lower case takes precedence over upper case.
Loopback addresses never use a proxy, and no netrc file is read.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import Final

import yarl

VARIABLES: Final = tuple(
    spelling
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for spelling in (name, name.upper())
)
"""All variables that are read."""

_OWN_VARIABLE: Final = {
    "https": "https_proxy",
    "wss": "https_proxy",
    "http": "http_proxy",
    "ws": "http_proxy",
}
_KINDS: Final = frozenset({"http", "https"})

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class InvalidProxyError(ValueError):
    """A variable holds no usable proxy; the text names the variable and never a password."""


def outbound_proxy(url: yarl.URL | str, environ: Mapping[str, str] = os.environ) -> yarl.URL | None:
    """Return the proxy for `url`, with user and password as configured, or None.

    Raises:
        InvalidProxyError: The variable does not hold an http or https proxy.
    """
    url = yarl.URL(url)
    if (own := _OWN_VARIABLE.get(url.scheme)) is None or not url.host:
        return None
    name, value = _first_of(environ, own, "all_proxy")
    if not value or is_loopback(url.host) or _is_excepted(url, environ):
        return None
    return _read_proxy(name, value)


def proxy_name(proxy: yarl.URL) -> str:
    """Return host and port, for logs and errors: without user and password."""
    return f"{proxy.host}:{proxy.port}"


def is_loopback(host: str) -> bool:
    """Return true if `host` is a name or address of this machine."""
    name = _without_dot(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def _first_of(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    for name in names:
        for spelling in (name, name.upper()):
            if value := environ.get(spelling, "").strip():
                return spelling, value
    return "", ""


def _read_proxy(name: str, value: str) -> yarl.URL:
    try:
        proxy = yarl.URL(value if "://" in value else f"http://{value}")
    except ValueError:
        raise InvalidProxyError(f"{name} is not an address") from None
    if proxy.scheme not in _KINDS:
        raise InvalidProxyError(
            f"{name} names a proxy of kind {proxy.scheme}, only http and https are supported"
        )
    if not proxy.host:
        raise InvalidProxyError(f"{name} is not an address")
    return proxy


def _is_excepted(url: yarl.URL, environ: Mapping[str, str]) -> bool:
    _, exceptions = _first_of(environ, "no_proxy")
    return any(_matches(url, each) for each in exceptions.replace(",", " ").split())


def _matches(url: yarl.URL, exception: str) -> bool:
    if exception == "*":
        return True
    host, port = _split_port(exception)
    if port is not None and port != url.port:
        return False
    if (address := _address(url.host or "")) is not None:
        return _is_in_network(address, host)
    name, pattern = _without_dot(url.host or ""), _without_dot(host).removeprefix("*")
    pattern = pattern.removeprefix(".")
    return bool(pattern) and (name == pattern or name.endswith(f".{pattern}"))


def _split_port(exception: str) -> tuple[str, int | None]:
    """Split into host and port, if any; an IPv6 address has a port only behind brackets."""
    host, colon, port = exception.rpartition(":")
    is_bare_ipv6 = ":" in host and not host.endswith("]")
    if not colon or is_bare_ipv6 or not port.isdecimal():
        return exception.strip("[]"), None
    return host.strip("[]"), int(port)


def _is_in_network(address: _Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _address(host: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


def _without_dot(host: str) -> str:
    return host.rstrip(".").lower()
