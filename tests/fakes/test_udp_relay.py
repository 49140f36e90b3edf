"""The bad network itself: what is asked for happens, to media only, and the same each time."""

from __future__ import annotations

import pytest

from tests.fakes.udp_relay import Conditions, Path, UdpRelay, is_rtp


def _delays(conditions: Conditions, count: int = 2000) -> list[list[float]]:
    path = Path(conditions)
    return [path.delays_s(100, index * 0.02) for index in range(count)]


def test_a_clean_network_does_nothing() -> None:
    assert _delays(Conditions()) == [[0.0]] * 2000


def test_losses_and_duplicates_are_as_frequent_as_asked_for() -> None:
    delays = _delays(Conditions(loss=0.1, duplicates=0.05))
    assert sum(not copies for copies in delays) == pytest.approx(200, rel=0.2)
    assert sum(len(copies) == 2 for copies in delays) == pytest.approx(90, rel=0.3)


def test_jitter_reorders_unless_told_otherwise() -> None:
    for has_reordering in (True, False):
        delays = _delays(Conditions(delay_s=0.1, jitter_s=0.08, has_reordering=has_reordering))
        arrivals = [index * 0.02 + copies[0] for index, copies in enumerate(delays)]
        assert (arrivals != sorted(arrivals)) is has_reordering
        assert all(0.0999 <= copies[0] < 0.1801 for copies in delays)


def test_a_slow_line_queues_and_overflows() -> None:
    delays = _delays(Conditions(rate_bps=30_000))
    waits = [copies[0] for copies in delays if copies]
    assert 0.4 < max(waits) < 0.6
    assert len(waits) == pytest.approx(1500, rel=0.05)


def test_the_seed_decides() -> None:
    bad = Conditions(loss=0.3, jitter_s=0.1)
    assert _delays(bad) == _delays(bad)
    assert _delays(bad) != _delays(Conditions(loss=0.3, jitter_s=0.1, seed=2))


@pytest.mark.parametrize(
    ("datagram", "expected"),
    [(b"\x80\x60..", True), (b"\x80\xc8..", False), (b"\x00\x01..", False), (b"\x16\xfe", False)],
    ids=["rtp", "rtcp", "stun", "dtls"],
)
def test_only_media_is_impaired(datagram: bytes, expected: bool) -> None:
    assert is_rtp(datagram) is expected


@pytest.mark.asyncio
async def test_each_side_sees_the_relay_in_place_of_the_other() -> None:
    sdp = (
        "v=0\r\na=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n"
        "a=candidate:2 1 udp 1 127.0.0.1 {} typ host\r\na=mid:0\r\n"
    )
    async with UdpRelay() as relay:
        seen = [relay.rewrite_offer(sdp.format(5001)), relay.rewrite_answer(sdp.format(5002))]
    assert all(text.count("a=candidate") == 1 and text.endswith("a=mid:0\r\n") for text in seen)
    assert "5001" not in seen[0]
    assert seen[0] != seen[1]
