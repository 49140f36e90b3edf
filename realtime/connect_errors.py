"""Explanations of failed connections to a provider: phase, cause and remedy in one line. Pure."""

from __future__ import annotations

import errno
import re
import ssl
from http import HTTPStatus
from typing import Final

import aiohttp

from proxies import InvalidProxyError
from realtime.model import ModelConnectError

_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")
_CAUSES: Final = {
    errno.ECONNREFUSED: "refused the connection: nothing listens there; check host and port",
    errno.ENETUNREACH: "cannot be reached: there is no route; check this machine's network",
    errno.EHOSTUNREACH: "cannot be reached: there is no route; check this machine's network",
    errno.ETIMEDOUT: "did not answer the connection attempt; check host, port and firewall",
    errno.ECONNRESET: "reset the connection; check that the port is that of a WebSocket server",
}
"""Text after the name of the host, by error number."""

_STATUSES: Final[dict[int, tuple[str, bool, str]]] = {
    400: ("handshake_failed", False, "check the address and the model's name"),
    401: ("invalid_api_key", False, "check the API key"),
    403: ("invalid_api_key", False, "check the API key and what it may use"),
    404: ("model_not_found", False, "check the model's name and the address"),
    429: ("rate_limited", True, "too many requests or sessions for this key"),
}
"""Code, retryable or not, and remedy by status of the handshake."""

_PROXY_REMEDIES: Final = {
    403: "it does not let this address through",
    407: "it wants a user and a password: USER:PASSWORD@ before its host in HTTPS_PROXY",
}


class RedirectedError(Exception):
    """The handshake was answered with a redirect, which is never followed: the key would go along.

    origin: where to
    """

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self.origin = origin


def explain(error: Exception, *, where: str, proxy: str | None, phase: str) -> ModelConnectError:
    """Explain `error` of a connection attempt.

    where: host and port of the provider
    proxy: those of the proxy on the way there, if there is one
    phase: what was under way, for errors that do not say it
    """
    text, code, is_retryable = _explain(error, where, proxy, phase)
    return ModelConnectError(text, code=code, is_retryable=is_retryable)


_Told = tuple[str, str, bool]
"""Text, code, and whether trying again can help."""


def _explain(error: Exception, where: str, proxy: str | None, phase: str) -> _Told:
    match error:
        case RedirectedError() | aiohttp.ClientResponseError():
            return _of_answer(error, where, proxy or where)
        case InvalidProxyError():
            return str(error), "invalid_proxy", False
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return _of_tls(error, where)
        case TimeoutError():
            return f"{where} did not answer in time ({phase})", "timeout", True
        case aiohttp.InvalidURL() | ValueError():
            text = f"{where} is not a usable address, or a header is malformed"
            return text, "invalid_uri", False
        case _:
            return _of_network(error, where, proxy, phase), "unreachable", True


def _of_answer(
    error: RedirectedError | aiohttp.ClientResponseError, where: str, proxy: str
) -> _Told:
    if isinstance(error, RedirectedError):
        text = f"{where} redirects the handshake to {error.origin}, which is not followed"
        return f"{text}; if that is the provider, set its address", "redirected", False
    if isinstance(error.__cause__, aiohttp.http.HttpProcessingError):
        # The status is one that aiohttp made up for it.
        way = where if proxy == where else f"{where}, or the proxy {proxy},"
        text = f"{way} answered with what is no HTTP; check scheme and port"
        return text, "handshake_failed", False
    words = _status_words(error.status)
    if isinstance(error, aiohttp.ClientHttpProxyError) or error.status == 407:
        text = f"the proxy {proxy} refused the connection with HTTP status {words}"
        remedy = _PROXY_REMEDIES.get(error.status, "")
        return f"{text}; {remedy}" if remedy else text, "proxy_refused", error.status >= 500
    if error.status < 400:
        text = f"{where} answered the handshake with HTTP status {words}"
        return f"{text}: it is no WebSocket server; check the address", "handshake_failed", False
    is_theirs = error.status >= 500
    default = ("handshake_failed", is_theirs, "try again later" if is_theirs else "")
    code, is_retryable, remedy = _STATUSES.get(error.status, default)
    text = f"{where} refused the connection with HTTP status {words}"
    return f"{text}; {remedy}" if remedy else text, code, is_retryable


def _of_tls(error: aiohttp.ClientSSLError | ssl.SSLError, where: str) -> _Told:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = _certificate_reason(error.certificate_error)
        return (
            f"the certificate of {where} is not trusted: {reason}",
            "untrusted_certificate",
            False,
        )
    text = f"{where} does not speak TLS as this machine does ({_ssl_reason(error)})"
    return f"{text}; check scheme and port", "tls_failed", False


def _of_network(error: Exception, where: str, proxy: str | None, phase: str) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            # Behind a proxy its name is the only one that is looked up here.
            name = where if proxy is None else f"the proxy {proxy}"
            return f"the name of {name} cannot be looked up; check its spelling and the DNS server"
        case aiohttp.ClientProxyConnectionError():
            return _unreachable(error, f"the proxy {proxy or where}")
        case aiohttp.ServerDisconnectedError():
            return f"{where} closed the connection without an answer ({phase})"
        case _:
            return _unreachable(error, where)


def _unreachable(error: Exception, where: str) -> str:
    for number in _error_numbers(error):
        if (cause := _CAUSES.get(number)) is not None:
            return f"{where} {cause}"
    return f"{where} cannot be reached ({type(error).__name__})"


def _status_words(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _error_numbers(error: Exception) -> list[int]:
    """Yield the error numbers of the attempts at all addresses of the host, which may come in one error."""
    inner = getattr(error, "os_error", error)
    numbers = [inner.errno] if isinstance(inner, OSError) and inner.errno is not None else []
    return [*numbers, *(int(number) for number in _ERRNO.findall(str(inner)))]


def _certificate_reason(error: object) -> str:
    reason = getattr(error, "verify_message", "") or "it is not valid"
    lowered = str(reason).lower()
    if "mismatch" in lowered or "not valid for" in lowered:
        return "it is for another host name"
    return str(reason)[:80]


def _ssl_reason(error: object) -> str:
    inner = getattr(error, "os_error", error)
    reason = getattr(inner, "reason", None)
    return str(reason).replace("_", " ").lower()[:60] if reason else "TLS error"
