from __future__ import annotations

import pytest

from conversation.prices import ModelPrice, max_cost, parse_prices

GPT = "gpt-x=input_text:4,input_audio:32,input_cached:0.4,output_text:16,output_audio:64"


def test_a_table_is_parsed() -> None:
    table = parse_prices(f" {GPT} ;\n gemini/x = input:3, output:12 ;")
    assert [one.model for one in table] == ["gpt-x", "gemini/x"]
    assert table[1].parts == {"input": 3.0, "output": 12.0}
    assert parse_prices("") == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gpt-x", "need model=part:price"),
        ("=input:3", "need model=part:price"),
        ("a b=input:3", "need model=part:price"),
        ("gpt-x=", "is no part"),
        ("gpt-x=video:3", "'video' is no part"),
        ("gpt-x=input:-1", "the price of input"),
        ("gpt-x=input:nan", "the price of input"),
        ("gpt-x=input:1;gpt-x=input:2", "there twice"),
    ],
)
def test_what_is_no_table_is_said(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_prices(text)


def test_each_part_has_its_price_and_the_untold_rest_the_dearest() -> None:
    (price,) = parse_prices(GPT)
    details = {"input_text_tokens": 100_000, "input_audio_tokens": 200_000}
    assert price.cost(300_000, 0, details) == pytest.approx(0.4 + 6.4)
    assert price.cost(0, 500_000, {"output_audio_tokens": 500_000}) == pytest.approx(32)
    assert price.cost(1_000_000, 1_000_000, {}) == pytest.approx(32 + 64)


def test_a_plain_price_holds_where_a_part_has_none() -> None:
    price = ModelPrice(model="m", parts={"input": 2.0, "input_audio": 10.0, "output": 8.0})
    details = {"input_audio_tokens": 100_000, "input_text_tokens": 400_000}
    assert price.cost(500_000, 250_000, details) == pytest.approx(1.0 + 0.8 + 2.0)


def test_cached_tokens_cost_less() -> None:
    (price,) = parse_prices(GPT)
    details = {"input_text_tokens": 1_000_000, "input_cached_tokens": 750_000}
    assert price.cost(1_000_000, 0, details) == pytest.approx(1.0 + 0.3)


def test_of_several_models_the_dearest_counts() -> None:
    cheap, dear = parse_prices("a=input:1,output:1;b=input:2,output:1")
    assert max_cost([cheap, dear], 1_000_000, 0, {}) == 2
    assert max_cost([], 1_000_000, 0, {}) == 0
