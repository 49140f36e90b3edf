"""Prices of model tokens from the server's settings, in a currency of the operator's choice."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from utils import named_values

PRICED_TOKENS: Final = 1_000_000
"""Prices are for so many tokens."""

Part = Literal[
    "input",
    "input_text",
    "input_audio",
    "input_image",
    "input_cached",
    "output",
    "output_text",
    "output_audio",
]
_PARTS: Final[tuple[str, ...]] = Part.__args__  # type: ignore[attr-defined]
_MODEL: Final = r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}"
_CACHED: Final = "input_cached"


class ModelPrice(BaseModel):
    """Prices of one model for a million tokens of each part.

    `input` and `output` are for tokens whose part is unknown or has no price of its own; without
    them the highest price of that side is used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    parts: dict[Part, float] = Field(min_length=1)

    def cost(self, input_tokens: int, output_tokens: int, details: Mapping[str, int]) -> float:
        """Return the cost of one reply. details: tokens by part (`input_audio_tokens`), as far as
        the provider reports them.
        """
        cost = self._side("input", input_tokens, details)
        return (cost + self._side("output", output_tokens, details)) / PRICED_TOKENS

    def _side(self, side: str, tokens: int, details: Mapping[str, int]) -> float:
        counts = {
            part: details.get(f"{part}_tokens", 0)
            for part in self.parts
            if part.startswith(f"{side}_") and part != _CACHED
        }
        rest = max(0, tokens - sum(counts.values()))
        full = rest * self._base(side) + sum(self.parts[part] * counts[part] for part in counts)
        cached = min(tokens, details.get(f"{side}_cached_tokens", 0))
        if _CACHED not in self.parts or not cached or side != "input":
            return full
        # Providers do not always report the part of cached tokens: they count at the average price.
        return full * (tokens - cached) / tokens + cached * self.parts[_CACHED]

    def _base(self, side: str) -> float:
        own = [price for part, price in self.parts.items() if part == side]
        prices = own or [price for part, price in self.parts.items() if part.startswith(side)]
        return max(prices, default=0.0)


def parse_prices(text: str) -> tuple[ModelPrice, ...]:
    """Parse `model=part:price,part:price` entries, separated by semicolons or line ends.

    Raises:
        ValueError: an entry is invalid; the text names it.
    """
    prices: dict[str, ModelPrice] = {}
    for model, parts in named_values(text):
        if parts is None or re.fullmatch(_MODEL, model) is None:
            entry = model if parts is None else f"{model}={parts}"
            raise ValueError(f"{entry[:80]!r}: need model=part:price,part:price")
        if model in prices:
            raise ValueError(f"{model} is there twice")
        given = dict(_parse_part(model, one) for one in parts.split(","))
        prices[model] = ModelPrice.model_validate({"model": model, "parts": given})
    return tuple(prices.values())


def _parse_part(model: str, text: str) -> tuple[str, float]:
    part, _, price = (one.strip() for one in text.partition(":"))
    if part not in _PARTS:
        raise ValueError(f"{model}: {part[:40]!r} is no part, there are {', '.join(_PARTS)}")
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", price) is None:
        raise ValueError(f"{model}: the price of {part} is no number such as 4 or 0.4")
    return part, float(price)


def max_cost(
    prices: Sequence[ModelPrice],
    input_tokens: int,
    output_tokens: int,
    details: Mapping[str, int],
) -> float:
    """Return the highest cost of a reply over all models that may have produced it."""
    return max((one.cost(input_tokens, output_tokens, details) for one in prices), default=0.0)
