"""No secret gets into a line, whatever logs it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from urllib.parse import quote

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from config.settings import Settings
from logs.lines import JsonFormatter, LineFormatter, TextFormatter
from logs.secrets import Secrets, secrets_of

KEY = "k3y-of-the-server"
HOOK_SECRET = "whsec_" + "c2VjcmV0" * 4


@pytest.mark.parametrize(
    "text",
    [
        f"GET /agents {KEY}",
        f"b'Authorization: Bearer {KEY}\\r'",
        f"{{'api-key': '{KEY}'}}{KEY}",
        f"ValueError: invalid header value {KEY!r}\n",
    ],
)
def test_a_known_secret_is_hidden_wherever_it_stands(text: str) -> None:
    hidden = Secrets([KEY]).hide(text)
    assert KEY not in hidden
    assert "***" in hidden


def json_lines(secrets: Secrets) -> LineFormatter:
    return JsonFormatter({}, secrets)


def text_lines(secrets: Secrets) -> LineFormatter:
    return TextFormatter({}, has_colours=False, secrets=secrets)


@pytest.mark.parametrize(
    "secret", ['say "friend" \\ now', "pässwörter", "a+b/c==d&e", "two\nlines"]
)
@pytest.mark.parametrize("make", [json_lines, text_lines])
def test_a_known_secret_is_hidden_however_it_is_spelled(
    secret: str, make: Callable[[Secrets], LineFormatter]
) -> None:
    formatter = make(Secrets([secret]))
    url = f"https://host/?x={quote(secret, safe='')}"
    for said in (secret, repr(secret), repr(secret.encode()), json.dumps(secret), url):
        record = logging.LogRecord("x", logging.INFO, "", 0, "it is %s", (said,), None)
        line = formatter.format(record)
        assert "***" in line
        assert secret not in line


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {}",
        "'authorization': 'Bearer {}'",
        'b"Authorization: Basic {}"',
        "Proxy-Authorization: Basic {}",
        "x-goog-api-key: {}",
        "{{'api-key': '{}'}}",
        "Cookie: {}",
        "https://host/v1?key={}&alt=json",
        "wss://host/ws?access_token={}",
        "postgresql+asyncpg://parley:{}@db/parley",
        "http://me:{}@proxy:3128",
        "input_value='{}', input_type=str",
        "input_value={{'text': '{}\nmore'}}, input_type=dict",
        "input_value='cut {} … (30000 characters) … {}",
    ],
)
def test_secrets_named_by_their_header_or_parameter_are_masked_too(text: str) -> None:
    hidden = Secrets().hide(text.replace("{}", "S3cr3tWord"))
    assert "S3cr3t" not in hidden


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:9 refused the connection: nothing listens there; check host and port",
        "the key is wrong: check OPENAI_API_KEY",
        "room demo: user 7 joined",
        "GET https://host/v1/models?limit=5",
        "no authorization was given",
    ],
)
def test_the_rest_is_left_alone(text: str) -> None:
    assert Secrets(["a", "key", ""]).hide(text) == text


def test_what_a_validation_error_quotes_is_hidden() -> None:
    class Model(BaseModel):
        number: int

    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"number": "my card is 4111"})
    assert "4111" in str(caught.value)
    assert "4111" not in Secrets().hide(str(caught.value))


def test_all_secrets_of_settings_are_known() -> None:
    settings = Settings(
        api_keys=(SecretStr("first-key-of-many"), SecretStr("second-key-of-many")),
        room_token_secret=SecretStr("r" * 32),
        webhook_secret=SecretStr(HOOK_SECRET),
        webhook_url=SecretStr("https://me:word@host/hook"),
        openai_api_key=SecretStr("sk-openai"),
    )
    assert set(secrets_of(settings)) == {
        *("first-key-of-many", "second-key-of-many", "r" * 32, "sk-openai"),
        *(HOOK_SECRET, "https://me:word@host/hook"),
    }
