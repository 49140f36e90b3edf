"""The opening handshake, with the example of RFC 6455."""

from __future__ import annotations

import pytest

from bridge.handshake import HandshakeError, read_offer

HEADERS = {
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "WebSocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_the_answer_is_that_of_the_standard() -> None:
    head = read_offer(HEADERS, "").accept(None)
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert head.endswith(b"\r\n\r\n")
    assert b"Sec-WebSocket-Protocol" not in head


@pytest.mark.parametrize(
    ("protocols", "token", "chosen"),
    [
        ("", None, None),
        ("parley", None, "parley"),
        ("other", None, None),
        ("bearer, eyJ.a.b", "eyJ.a.b", "bearer"),
        ("bearer, eyJ.a.b, parley", "eyJ.a.b", "parley"),
        ("10xgraph-bearer,eyJ", "eyJ", "10xgraph-bearer"),
        ("bearer", None, "bearer"),
    ],
)
def test_subprotocols_choose_a_dialect_and_bring_a_token(
    protocols: str, token: str | None, chosen: str | None
) -> None:
    offer = read_offer(HEADERS, protocols)
    assert offer.token == token
    assert offer.choose({"parley"}) == chosen
    if chosen is not None:
        assert f"Sec-WebSocket-Protocol: {chosen}\r\n".encode() in offer.accept(chosen)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Connection": "keep-alive"}, 426),
        ({"Upgrade": "h2c"}, 426),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
        ({"Sec-WebSocket-Key": "\x00\xff" * 12}, 400),
    ],
)
def test_what_is_no_handshake_is_refused(change: dict[str, str], status: int) -> None:
    with pytest.raises(HandshakeError) as caught:
        read_offer(HEADERS | change, "")
    assert caught.value.status == status
