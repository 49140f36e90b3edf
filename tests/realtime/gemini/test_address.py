"""Where Gemini is, and what the end of a session means."""

from __future__ import annotations

import pytest

from realtime.gemini.address import address_of, model_path
from realtime.gemini.close_reason import read_gemini_close
from realtime.model import RealtimeModelConfig
from realtime.resilience.retry_policy import Failure, FailureKind

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
        (
            1007,
            "API key not valid. Please pass a valid API key.",
            "invalid_api_key",
            FailureKind.REFUSED,
        ),
        (
            1007,
            "API key expired. Please renew the API key.",
            "invalid_api_key",
            FailureKind.REFUSED,
        ),
        (1007, "Request contains an invalid argument.", "invalid_argument", FailureKind.REFUSED),
        (
            1007,
            "The input token count exceeds the context window",
            "context_exceeded",
            FailureKind.LOST,
        ),
        (1008, "models/m is not found for API version v1", "model_not_found", FailureKind.REFUSED),
        (
            1008,
            "m is not supported for bidiGenerateContent",
            "model_not_found",
            FailureKind.REFUSED,
        ),
        (1008, "Operation is not implemented", "policy_violation", FailureKind.REFUSED),
        (
            1008,
            "BidiGenerateContent session not found",
            "stale_resumption_handle",
            FailureKind.EXPIRED,
        ),
        (1011, "Deadline expired before operation", "deadline_expired", FailureKind.EXPIRED),
        (1011, "You exceeded your current quota", "insufficient_quota", FailureKind.REFUSED),
        (1011, "Your prepayment credits are depleted", "insufficient_quota", FailureKind.REFUSED),
        (1011, "Resource exhausted", "rate_limited", FailureKind.BUSY),
        (1011, "Internal error encountered.", "internal", FailureKind.LOST),
        (1011, "The service is currently unavailable.", "overloaded", FailureKind.BUSY),
        (1013, "", "overloaded", FailureKind.BUSY),
        (1000, "", "disconnected", FailureKind.LOST),
        (1001, "", "disconnected", FailureKind.LOST),
        (1006, "", "disconnected", FailureKind.LOST),
        (1012, "", "disconnected", FailureKind.LOST),
        (None, "", "disconnected", FailureKind.LOST),
    ],
)
def test_ending_table(close_code: int | None, text: str, code: str, cause: FailureKind) -> None:
    close_reason = read_gemini_close(close_code, text)
    assert close_reason.code == code
    assert Failure(close_reason.code, is_retryable=close_reason.is_retryable).cause is cause
    assert text in close_reason.reason
