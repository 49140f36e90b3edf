"""Room tokens: who gets in, who does not, and what they are told."""

from __future__ import annotations

import jwt
import pytest

from rtc.room_server.tokens import Permit, RoomTokens, TokenError, UidClaim, mint_token

SECRET = "s" * 32
OLDER = "o" * 32


def _refusal(tokens: RoomTokens, token: str | None, **wanted: object) -> tuple[str, str]:
    asked = {"channel": "demo", "uid": 7, "role": "user"} | wanted
    with pytest.raises(TokenError) as caught:
        tokens.verify(token, **asked)  # type: ignore[arg-type]
    return caught.value.code, caught.value.message


OWN = Permit(7, UidClaim.OWN)


def test_without_a_secret_everybody_may_join() -> None:
    tokens = RoomTokens()
    assert not tokens.is_required("user")
    assert not tokens.is_required("agent")
    assert tokens.verify(None, channel="demo", uid=7, role="user") == OWN
    assert tokens.verify(None, channel="demo", uid=None, role="user").uid is None
    assert tokens.verify(None, channel="demo", uid=7, role="agent") == OWN


def test_where_people_are_free_agents_still_need_a_token() -> None:
    tokens = RoomTokens([SECRET], are_users_free=True)
    assert not tokens.is_required("user")
    assert tokens.is_required("agent")
    assert tokens.verify(None, channel="demo", uid=7, role="user") == Permit(7, UidClaim.FREE)
    assert _refusal(tokens, None, role="agent")[0] == "unauthorized"
    of_a_user = tokens.mint(channel="demo", uid=7, role="user", ttl_s=60)
    assert _refusal(tokens, of_a_user, role="agent")[0] == "forbidden"
    token = tokens.mint(channel="demo", uid=7, role="agent", ttl_s=60)
    assert tokens.verify(token, channel="demo", uid=7, role="agent") == OWN


def test_a_token_opens_its_own_place() -> None:
    tokens = RoomTokens([SECRET])
    token = tokens.mint(channel="demo", uid=7, role="user", ttl_s=60)
    assert tokens.is_required("user")
    assert tokens.verify(token, channel="demo", uid=7, role="user") == OWN
    assert tokens.verify(token, channel="demo", uid=None, role="user") == OWN


def test_a_token_without_a_uid_claims_none() -> None:
    tokens = RoomTokens([SECRET])
    token = tokens.mint(channel="demo", role="user", ttl_s=60)
    assert tokens.verify(token, channel="demo", uid=9, role="user") == Permit(9, UidClaim.NONE)
    assert tokens.verify(token, channel="demo", uid=None, role="user") == Permit(
        None, UidClaim.NONE
    )


def test_a_token_of_any_agent_claims_only_what_is_free() -> None:
    tokens = RoomTokens([SECRET])
    token = tokens.mint(channel="demo", role="agent", ttl_s=60)
    assert tokens.verify(token, channel="demo", uid=9, role="agent") == Permit(9, UidClaim.FREE)


def test_an_older_secret_still_verifies_and_the_first_signs() -> None:
    tokens = RoomTokens([SECRET, OLDER])
    old = mint_token(OLDER, channel="demo", uid=7, role="user", ttl_s=60)
    assert tokens.verify(old, channel="demo", uid=7, role="user") == OWN
    new = tokens.mint(channel="demo", uid=7, role="user", ttl_s=60)
    assert RoomTokens([SECRET]).verify(new, channel="demo", uid=7, role="user") == OWN


def test_refusals() -> None:
    tokens = RoomTokens([SECRET])
    good = tokens.mint(channel="demo", uid=7, role="user", ttl_s=60)
    assert _refusal(tokens, None)[0] == "unauthorized"
    assert _refusal(tokens, "nonsense")[0] == "unauthorized"
    assert _refusal(tokens, good, channel="other")[0] == "forbidden"
    assert _refusal(tokens, good, uid=8)[0] == "forbidden"
    assert _refusal(tokens, good, role="agent")[0] == "forbidden"
    foreign = mint_token("f" * 32, channel="demo", uid=7, role="user", ttl_s=60)
    assert _refusal(tokens, foreign)[0] == "unauthorized"
    claims = {"channel": "demo", "uid": 7, "role": "user"}
    expired = jwt.encode({**claims, "exp": 1}, SECRET, algorithm="HS256")
    assert _refusal(tokens, expired) == ("unauthorized", "the room token has expired")
    assert _refusal(tokens, jwt.encode(claims, SECRET, algorithm="HS256"))[0] == "unauthorized"
    endless = {**claims, "uid": "7", "exp": 2**33}
    assert _refusal(tokens, jwt.encode(endless, SECRET, algorithm="HS256"))[0] == "unauthorized"
    unsigned = jwt.encode({**claims, "exp": 2**33}, "", algorithm="none")
    assert _refusal(tokens, unsigned)[0] == "unauthorized"


@pytest.mark.parametrize(
    "wrong",
    [{"channel": "../etc"}, {"uid": -1}, {"uid": 2**32}, {"role": "king"}, {"ttl_s": 0}],
)
def test_mints_only_sound_tokens(wrong: dict[str, object]) -> None:
    claims = {"channel": "demo", "uid": 7, "role": "user", "ttl_s": 60} | wrong
    with pytest.raises(ValueError, match="needs a valid channel"):
        mint_token(SECRET, **claims)  # type: ignore[arg-type]


def test_mints_nothing_without_a_secret() -> None:
    with pytest.raises(ValueError, match="ROOM_TOKEN_SECRET"):
        RoomTokens().mint(channel="demo", role="user", ttl_s=60)


@pytest.mark.parametrize("token", ["\udcff\udc80", "ä.b.c", "\u0000", "a.b\udcff.c", "😀" * 100])
def test_what_is_no_text_of_a_token_is_refused_as_any_other(token: str) -> None:
    with pytest.raises(TokenError) as caught:
        RoomTokens([SECRET]).verify(token, channel="demo", uid=None, role="user")
    assert caught.value.code == "unauthorized"


def test_a_token_of_a_revoked_key_lets_nobody_in_who_is_not_there_already() -> None:
    tokens = RoomTokens([SECRET], is_key_revoked={"shop"}.__contains__)
    by_key = {
        name: tokens.mint(channel="demo", uid=7, role="user", ttl_s=60, key=name)
        for name in ("shop", "help", "")
    }
    code, message = _refusal(tokens, by_key["shop"])
    assert (code, "is revoked" in message) == ("unauthorized", True)
    with pytest.raises(TokenError):
        tokens.read(by_key["shop"], channel=None, role="user")
    assert _refusal(tokens, by_key["shop"], channel="other", is_inside=True)[0] == "forbidden"
    assert tokens.verify(by_key["shop"], channel="demo", uid=7, role="user", is_inside=True) == OWN
    for name in ("help", ""):
        assert tokens.verify(by_key[name], channel="demo", uid=7, role="user") == OWN
