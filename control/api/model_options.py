"""Model settings of a start, beyond voice, language, turn detection and tools."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_OPTIONS_BYTES: Final = 32 * 1024


class ModelOptions(BaseModel):
    """Provider-neutral settings; a provider without one of them refuses the start and names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output_modality: Literal["audio", "text"] | None = Field(
        default=None,
        description="text: replies are written in the room's events and chat, not spoken",
    )
    speed: float | None = Field(default=None, ge=0.25, le=4.0)
    max_output_tokens: int | None = Field(default=None, ge=1, le=65_536)
    temperature: float | None = Field(default=None, ge=0, le=2)
    tool_choice: Literal["auto", "none", "required"] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    transcription: dict[str, Any] | Literal[False] | None = Field(
        default=None, description="`model`, `prompt`, `keywords`, ...; false turns it off"
    )
    noise_reduction: Literal["near_field", "far_field", False] | None = None
    truncation: dict[str, Any] | Literal["auto", "disabled"] | None = None
    tracing: dict[str, Any] | Literal["auto", False] | None = None
    prompt: dict[str, Any] | None = Field(
        default=None, description="a prompt stored at the provider"
    )
    extra: dict[str, Any] | None = Field(
        default=None, description="more fields of the provider's own session object"
    )

    @model_validator(mode="after")
    def _check_size(self) -> ModelOptions:
        if len(json.dumps(self.given())) > MAX_OPTIONS_BYTES:
            raise ValueError(f"larger than {MAX_OPTIONS_BYTES} bytes")
        return self

    def given(self) -> dict[str, Any]:
        """Return only the settings in the request; the provider's defaults hold for the rest."""
        set_fields = self.model_dump(exclude_unset=True)
        return {name: value for name, value in set_fields.items() if value is not None}
