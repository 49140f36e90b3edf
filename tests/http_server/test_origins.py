from __future__ import annotations

import pytest

from http_server.origins import OriginCheck
from utils import is_own_origin


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("https://Voice.Example", "voice.example", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://a", "b", False),
        ("null", "a", False),
        ("", "", False),
        ("http://", "", False),
        ("http://[", "[", False),
        ("http://[::1", "[::1", False),
        ("http://[a]b", "a", False),
        ("http://a\nb", "c", False),
        ("http://\u2100.example", "a", False),
        ("\udcff\udcfe", "a", False),
    ],
)
def test_only_a_page_of_this_name_is_our_own(origin: str, host: str, expected: bool) -> None:
    assert is_own_origin(origin, host) is expected


def test_a_refusal_says_what_it_compared_and_forges_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    check = OriginCheck({"https://app.example"})
    assert check.refusal(None, "a") is None
    assert check.refusal("https://app.example", "a") is None
    refusal = check.refusal("https://voice.example", "127.0.0.1:8080")
    assert refusal is not None
    assert '"https://voice.example"' in refusal
    assert '"127.0.0.1:8080"' in refusal
    assert "$http_host" in refusal
    assert refusal in caplog.text
    for number in range(100):
        forged = f"http://x{number}\n12:00 ERROR all is lost\x1b[2J" + "y" * 10_000
        refusal = check.refusal(forged, "a\r\n")
        assert refusal is not None
        assert refusal.isprintable()
        assert len(refusal) < 600
    assert len(caplog.records) == 1
