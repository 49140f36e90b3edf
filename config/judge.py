"""Settings of the language model that judges scenarios and plays their personas. See docs/scenarios.md."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from config.local_model import HttpUri
from config.secrets import ProviderKey


class JudgeSettings(BaseModel):
    """Part of `config.settings.Settings`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Without them the model of `LLM_*` judges.
    judge_base_url: HttpUri | None = None
    judge_model: str = Field(default="", max_length=200)
    judge_api_key: ProviderKey | None = None

    def judge_contradictions(self) -> Iterator[str]:
        """Yield a line for each setting of the judge that another one contradicts."""
        if bool(self.judge_model) != (self.judge_base_url is not None):
            yield "JUDGE_MODEL: needs JUDGE_BASE_URL, and that one it"
