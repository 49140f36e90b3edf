from __future__ import annotations

import pytest

from control.http.auth import ApiKeys, require_local
from control.http.errors import ApiError
from control.http.origins import Origins

KEYS = ApiKeys(("first-key", "zweiter-schlüssel"))
OURS = Origins({"https://app.example"})


@pytest.mark.parametrize("header", ["Bearer first-key", "bearer zweiter-schlüssel"])
def test_any_configured_key_opens_and_has_its_own_name(header: str) -> None:
    access = KEYS.require({"Authorization": header})
    assert access.key == ("key 0" if "first" in header else "key 1")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer first"},
        {"Authorization": "Bearer first-key2"},
        {"Authorization": "Basic first-key"},
        {"Authorization": "first-key"},
        {"Authorization": "Bearer \udcff\udc80"},
        {"Authorization": "Bearer first-key,zweiter-schlüssel"},
    ],
)
def test_anything_else_does_not(headers: dict[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        KEYS.require(headers)
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")
    assert caught.value.response().headers["WWW-Authenticate"] == "Bearer"


def test_without_keys_no_key_is_known() -> None:
    assert not ApiKeys(())
    with pytest.raises(ApiError):
        ApiKeys(()).require({"Authorization": "Bearer "})


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8080", None),
        ("localhost", None),
        ("[::1]:8080", None),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("LOCALHOST:8080", "http://localhost:8080"),
        ("127.0.0.1:8080", "https://app.example"),
    ],
)
def test_this_machines_own_requests_pass(host: str, origin: str | None) -> None:
    require_local({"Host": host} | ({"Origin": origin} if origin else {}), OURS)


@pytest.mark.parametrize(
    ("host", "origin", "code"),
    [
        ("evil.example:8080", None, "foreign_host"),
        ("127.0.0.1.evil.example", None, "foreign_host"),
        ("", None, "foreign_host"),
        ("[", None, "foreign_host"),
        ("evil@127.0.0.1.evil.example", None, "foreign_host"),
        ("127.0.0.1:8080", "https://evil.example", "foreign_origin"),
        ("127.0.0.1:8080", "http://127.0.0.1:9090", "foreign_origin"),
        ("127.0.0.1:8080", "null", "foreign_origin"),
        ("127.0.0.1:8080", "https://app.example.evil", "foreign_origin"),
        ("127.0.0.1:8080", "http://app.example", "foreign_origin"),
        ("evil.example", "https://app.example", "foreign_host"),
    ],
)
def test_foreign_pages_do_not(host: str, origin: str | None, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        require_local({"Host": host} | ({"Origin": origin} if origin else {}), OURS)
    assert (caught.value.status, caught.value.code) == (403, code)


def test_keys_are_kept_as_hashes_of_one_length() -> None:
    kept = vars(ApiKeys(("short", "a much longer key")))
    assert "longer" not in repr(kept)
    digests = [digest for one in kept.values() if isinstance(one, list) for digest in one]
    assert [len(digest) for digest in digests] == [32, 32]
