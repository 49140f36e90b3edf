"""`ReplyCounters`: counts of a process's replies, for its health report. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ReplyCounters:
    """Counts since the process began.

    by_rules, by_model: replies begun, except speculative ones that were thrown away
    failures: of the language model, by kind
    fillers: replies that took so long that a filler was said
    speculations: speculative replies begun
    adopted, discarded: what became of them
    discarded_requests, discarded_tokens: requests to the language model among the discarded, and
        their tokens, estimated where the model did not count; no response's usage has them
    """

    by_rules: int = 0
    by_model: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    fillers: int = 0
    speculations: int = 0
    adopted: int = 0
    discarded: int = 0
    discarded_requests: int = 0
    discarded_tokens: int = 0

    @property
    def open_speculations(self) -> int:
        """Speculative replies of which neither became anything yet."""
        return self.speculations - self.adopted - self.discarded

    def as_json(self) -> dict[str, Any]:
        """Return what the health report shows."""
        return {
            "by_rules": self.by_rules,
            "by_model": self.by_model,
            "model_failures": dict(self.failures),
            "fillers": self.fillers,
            "speculative": {
                "begun": self.speculations,
                "adopted": self.adopted,
                "discarded": self.discarded,
                "discarded_model_requests": self.discarded_requests,
                "discarded_model_tokens": self.discarded_tokens,
            },
        }
