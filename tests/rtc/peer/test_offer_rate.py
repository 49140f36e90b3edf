"""How many offers are answered, of one member and of all."""

from __future__ import annotations

from rtc.peer.offer_rate import ALL_OFFERS_BURST, MAX_MEMBERS, OFFER_BURST, OFFERS_PER_S, OfferRate


def test_a_member_has_a_burst_and_then_a_pace() -> None:
    pace = OfferRate()
    waits = [pace.wait_s(7, now_s=0.0) for _ in range(OFFER_BURST + 1)]
    assert waits[:-1] == [0.0] * OFFER_BURST
    assert waits[-1] == 1 / OFFERS_PER_S
    assert pace.wait_s(8, now_s=0.0) == 0.0
    assert pace.wait_s(7, now_s=1 / OFFERS_PER_S) == 0.0
    assert pace.wait_s(7, now_s=1 / OFFERS_PER_S) > 0


def test_many_members_have_a_pace_together() -> None:
    pace = OfferRate()
    answered = [pace.wait_s(uid, now_s=0.0) == 0 for uid in range(10 * MAX_MEMBERS)]
    assert sum(answered) == ALL_OFFERS_BURST
    assert pace.wait_s(10_000, now_s=1.0) == 0.0
