"""Where Gemini is, and what the end of a session means."""

from __future__ import annotations

import pytest

from realtime.gemini.address import address_of, model_path
from realtime.gemini.ending import read_gemini_close
from realtime.lasting.retry import Cause, Trouble
from realtime.model import RealtimeModelConfig

DEVELOPER = "wss://generativelanguage.googleapis.com"
VERTEX = "wss://us-central1-aiplatform.googleapis.com"
BIDI = "/ws/google.ai.generativelanguage.{}.GenerativeService.BidiGenerateContent"
VERTEX_BIDI = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"


@pytest.mark.parametrize(
    ("base_uri", "query", "key", "path", "headers"),
    [
        (DEVELOPER, {}, "AIzaK", BIDI.format("v1"), {"x-goog-api-key": "AIzaK"}),
        (DEVELOPER, {"version": "v1beta"}, None, BIDI.format("v1beta"), {}),
        (
            DEVELOPER,
            {},
            "auth_tokens/t",
            BIDI.format("v1alpha") + "Constrained",
            {"Authorization": "Token auth_tokens/t"},
        ),
        (VERTEX, {"project": "p"}, "ya29.t", VERTEX_BIDI, {"Authorization": "Bearer ya29.t"}),
        (VERTEX, {}, "AQ.Ab8", VERTEX_BIDI, {"x-goog-api-key": "AQ.Ab8"}),
        (VERTEX, {}, None, VERTEX_BIDI, {}),
    ],
)
def test_address_table(
    base_uri: str, query: dict[str, str], key: str | None, path: str, headers: dict[str, str]
) -> None:
    config = RealtimeModelConfig("m", base_uri, query=query, headers={"x-more": "1"})
    address = address_of(config, key)
    assert str(address.url) == base_uri + path
    assert address.headers == headers | {"x-more": "1"}


def test_further_query_is_passed_on() -> None:
    config = RealtimeModelConfig("m", DEVELOPER, query={"version": "v1", "alt": "json"})
    assert address_of(config, None).url.query_string == "alt=json"


@pytest.mark.parametrize("name", ["version", "project", "location"])
def test_path_parts_are_names(name: str) -> None:
    config = RealtimeModelConfig("m", DEVELOPER, query={name: "../x"})
    with pytest.raises(ValueError, match=name):
        address_of(config, None)


@pytest.mark.parametrize(
    ("base_uri", "query", "model", "path"),
    [
        (DEVELOPER, {}, "m", "models/m"),
        (DEVELOPER, {}, "tunedModels/m", "tunedModels/m"),
        (VERTEX, {}, "m", "publishers/google/models/m"),
        (
            VERTEX,
            {"project": "p", "location": "l"},
            "m",
            "projects/p/locations/l/publishers/google/models/m",
        ),
        (
            VERTEX,
            {"project": "p"},
            "publishers/google/models/m",
            "projects/p/locations/global/publishers/google/models/m",
        ),
        (VERTEX, {"project": "p"}, "projects/q/x", "projects/q/x"),
    ],
)
def test_model_path_table(base_uri: str, query: dict[str, str], model: str, path: str) -> None:
    assert model_path(RealtimeModelConfig(model, base_uri, query=query)) == path


@pytest.mark.parametrize(
    ("close_code", "text", "code", "cause"),
    [
        (1007, "API key not valid. Please pass a valid API key.", "invalid_api_key", Cause.REFUSED),
        (1007, "API key expired. Please renew the API key.", "invalid_api_key", Cause.REFUSED),
        (1007, "Request contains an invalid argument.", "invalid_argument", Cause.REFUSED),
        (1007, "The input token count exceeds the context window", "context_exceeded", Cause.LOST),
        (1008, "models/m is not found for API version v1", "model_not_found", Cause.REFUSED),
        (1008, "m is not supported for bidiGenerateContent", "model_not_found", Cause.REFUSED),
        (1008, "Operation is not implemented", "policy_violation", Cause.REFUSED),
        (1008, "BidiGenerateContent session not found", "stale_resumption_handle", Cause.EXPIRED),
        (1011, "Deadline expired before operation", "deadline_expired", Cause.EXPIRED),
        (1011, "You exceeded your current quota", "insufficient_quota", Cause.REFUSED),
        (1011, "Your prepayment credits are depleted", "insufficient_quota", Cause.REFUSED),
        (1011, "Resource exhausted", "rate_limited", Cause.BUSY),
        (1011, "Internal error encountered.", "internal", Cause.LOST),
        (1011, "The service is currently unavailable.", "overloaded", Cause.BUSY),
        (1013, "", "overloaded", Cause.BUSY),
        (1000, "", "disconnected", Cause.LOST),
        (1001, "", "disconnected", Cause.LOST),
        (1006, "", "disconnected", Cause.LOST),
        (1012, "", "disconnected", Cause.LOST),
        (None, "", "disconnected", Cause.LOST),
    ],
)
def test_ending_table(close_code: int | None, text: str, code: str, cause: Cause) -> None:
    ending = read_gemini_close(close_code, text)
    assert ending.code == code
    assert Trouble(ending.code, is_retryable=ending.is_retryable).cause is cause
    assert text in ending.reason
