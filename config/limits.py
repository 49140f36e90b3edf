"""Limits of requests, connections, the server, calls and agent processes."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from conversation.prices import ModelPrice, parse_prices

MAX_GOODBYE_CHARACTERS: Final = 120
"""About eight seconds of speech; the deadline of a goodbye would cut more."""


class LimitSettings(BaseModel):
    """Part of `config.settings.Settings`. None: no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Of requests: docs/security.md.
    requests_per_s_per_address: float = Field(default=20.0, gt=0)
    requests_per_s_per_key: float = Field(default=100.0, gt=0)
    max_open_requests: int = Field(default=2_000, ge=1)
    max_open_requests_per_address: int = Field(default=100, ge=1)

    # Of connections, with or without a request: docs/security.md.
    max_connections: int = Field(default=4_000, ge=1)
    max_connections_per_address: int = Field(default=500, ge=1)
    head_timeout_s: float = Field(default=10.0, gt=0, le=3_600)

    # Of the server: docs/capacity.md.
    max_agents: int | None = Field(default=None, ge=1)
    # 100: no limit.
    max_cpu_percent: float = Field(default=85.0, gt=0, le=100)
    min_free_memory_mib: int = Field(default=128, ge=0)
    drain_deadline_s: float = Field(default=15.0, ge=0)

    # Of each call: docs/limits.md.
    goodbye: str = Field(default="", max_length=MAX_GOODBYE_CHARACTERS)
    max_duration_s: float | None = Field(default=None, gt=0)
    idle_timeout_s: float | None = Field(default=None, gt=0)
    max_tokens: int | None = Field(default=None, gt=0)
    max_cost: float | None = Field(default=None, gt=0)
    model_prices: tuple[ModelPrice, ...] = ()

    # Of an agent process, before it is reported or replaced: docs/resilience.md.
    agent_memory_limit_mib: float | None = Field(default=None, ge=32)
    agent_unresponsive_s: float = Field(default=8.0, ge=1)
    agent_lag_warning_ms: float = Field(default=250.0, gt=0)
    agent_voice_stuck_s: float = Field(default=8.0, ge=1)
    agent_unanswered_s: float = Field(default=20.0, ge=2)
    agent_without_media_s: float = Field(default=180.0, ge=10)

    @field_validator("model_prices", mode="before")
    @classmethod
    def _parse_prices(cls, value: Any) -> Any:
        return parse_prices(value) if isinstance(value, str) else value
