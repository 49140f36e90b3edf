"""Rules for secrets among the settings, and commands that make one.

An error text never repeats the secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr

from untrusted.json_reader import read_base64

MIN_CHARACTERS: Final = 16
MIN_ROOM_CHARACTERS: Final = 32
"""HS256 needs a key as long as its hash."""

MIN_WEBHOOK_CHARACTERS: Final = 24
MIN_WEBHOOK_BYTES: Final = 24
"""Least key length by the Standard Webhooks specification."""

HOW_TO_MAKE_ONE: Final = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
HOW_TO_MAKE_A_WEBHOOK_SECRET: Final = (
    "python3 -c 'import base64, secrets; "
    'print("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())\''
)

# Standard Webhooks marks base64 secrets by this prefix.
_WEBHOOK_PREFIX: Final = "whsec_"
_NO_HEADER: Final = "has other characters than visible ASCII, so no header can carry it"


def _at_least(characters: int, *, is_in_header: bool) -> Callable[[SecretStr], SecretStr]:
    def check(secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value()
        if is_in_header and re.fullmatch(r"[!-~]*", text) is None:
            problem = _NO_HEADER
        elif len(text) < characters:
            problem = f"has {len(text)} characters, a secret needs {characters} or more"
        else:
            return secret
        raise ValueError(f"{problem}; make one with: {HOW_TO_MAKE_ONE}")

    return check


def _check_provider_key(secret: SecretStr) -> SecretStr:
    if re.fullmatch(r"[!-~]+", secret.get_secret_value()) is None:
        raise ValueError(f"{_NO_HEADER}; copy it from the provider again")
    return secret


def _check_webhook_secret(secret: SecretStr) -> SecretStr:
    webhook_keys(secret.get_secret_value())
    return secret


def webhook_keys(text: str) -> tuple[bytes, ...]:
    """Return the signing keys of a webhook secret.

    The first is decoded from base64, with or without the prefix `whsec_`, as the libraries of
    Standard Webhooks do. A secret without the prefix has a second key, its characters as they are,
    for receivers that use it undecoded.

    Raises:
        ValueError: The secret is too short, or not base64.
    """
    has_prefix = text.startswith(_WEBHOOK_PREFIX)
    body = text.removeprefix(_WEBHOOK_PREFIX).rstrip("=")
    try:
        # Some libraries read the URL-safe alphabet as another text.
        key = read_base64(body) if re.fullmatch(r"[A-Za-z0-9+/]*", body) else None
    except ValueError:
        key = None
    if not has_prefix and len(body) < MIN_WEBHOOK_CHARACTERS:
        problem = f"has {len(body)} characters, it needs {MIN_WEBHOOK_CHARACTERS} or more"
    elif key is None:
        problem = "is no base64, which is how receivers read it"
    elif has_prefix and len(key) < MIN_WEBHOOK_BYTES:
        problem = f"has {len(key)} bytes after whsec_, it needs {MIN_WEBHOOK_BYTES} bytes or more"
    else:
        return (key,) if has_prefix else (key, text.encode())
    raise ValueError(f"{problem}; make one with: {HOW_TO_MAKE_A_WEBHOOK_SECRET}")


ApiKey = Annotated[SecretStr, AfterValidator(_at_least(MIN_CHARACTERS, is_in_header=True))]
ProviderKey = Annotated[SecretStr, AfterValidator(_check_provider_key)]
SharedSecret = Annotated[SecretStr, AfterValidator(_at_least(MIN_CHARACTERS, is_in_header=False))]
RoomSecret = Annotated[
    SecretStr, AfterValidator(_at_least(MIN_ROOM_CHARACTERS, is_in_header=False))
]
WebhookSecret = Annotated[SecretStr, AfterValidator(_check_webhook_secret)]
