"""Addresses below a base that may have a path."""

from __future__ import annotations

import pytest

from realtime.openai.endpoint import Endpoint, below


@pytest.mark.parametrize(
    ("base", "address"),
    [
        ("wss://host", "wss://host/v1/realtime"),
        ("wss://host/", "wss://host/v1/realtime"),
        ("ws://host:1/voice", "ws://host:1/voice/v1/realtime"),
        ("ws://host:1/voice/", "ws://host:1/voice/v1/realtime"),
        ("wss://host/v1", "wss://host/v1/realtime"),
        ("wss://host/a/v1/realtime", "wss://host/a/v1/realtime"),
        ("wss://host/realtime", "wss://host/realtime/v1/realtime"),
        ("wss://host/a%20b", "wss://host/a%20b/v1/realtime"),
    ],
)
def test_shared_steps_count_once(base: str, address: str) -> None:
    assert str(below(base, "v1/realtime")) == address
    assert str(Endpoint().url(base, "m", {"a": "b"})) == f"{address}?model=m&a=b"
