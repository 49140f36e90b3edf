"""Settings of the embedded language model's server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """Settings of one server process.

    slots: requests generated at once; further ones wait in order of arrival
    max_waiting: requests that may wait; one more is refused with 429
    context_tokens: window of one request, prompt and reply
    max_reply_tokens: of one reply, whatever it asks for: small models repeat themselves without end
    threads: of llama.cpp. Its threads spin while they wait for one another: where other processes
        want the same cores, two are slower than one by a factor of ten.
    batch_tokens: of a prompt, evaluated in one step; bounds how long a step holds up other requests
        and a cancellation
    cache_mb: memory for the prompts of conversations that have no slot at present
    api_key: None: no key is asked for
    """

    slots: int = 2
    max_waiting: int = 16
    context_tokens: int = 4_096
    max_reply_tokens: int = 512
    threads: int = 1
    batch_tokens: int = 64
    cache_mb: int = 128
    body_bytes: int = 1024 * 1024
    body_timeout_s: float = 10.0
    api_key: str | None = None
