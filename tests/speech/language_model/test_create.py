"""Language models of a process."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from speech.language_model.create import LanguageModels, create_language_model
from speech.language_model.fallback import FallbackLanguageModel
from speech.language_model.protocol import LanguageModel
from speech.options import LanguageModelOptions, SessionOptions
from tests.fakes.chat_server import chat_server
from tests.speech.language_model.replies import options, read

BASE_URL = "http://127.0.0.1:9/v1"


def _options(**fields: Any) -> SessionOptions:
    return SessionOptions(
        language_model=LanguageModelOptions(base_url=BASE_URL, model="a", **fields)
    )


def test_options_name_the_model_and_its_fallback() -> None:
    assert create_language_model(SessionOptions()) is None
    primary = _options()
    model = create_language_model(primary)
    assert model is not None
    assert model.name == "a"
    fallback = LanguageModelOptions(base_url=BASE_URL, model="b")
    both = create_language_model(primary.model_copy(update={"fallback_language_model": fallback}))
    assert isinstance(both, FallbackLanguageModel)
    assert both.name == "a"


@pytest.mark.asyncio
async def test_equal_options_share_a_model() -> None:
    models = LanguageModels()
    first = models.get(_options(api_key="x"))
    assert models.get(_options(api_key="x")) is first
    assert models.get(_options(api_key="y")) is not first
    assert models.get(_options(api_key="x").model_copy(update={"language": "de"})) is first
    assert models.get(SessionOptions()) is None
    await models.close()


class _Model:
    """Notes when it is closed."""

    name = "a"
    is_closed = False

    def stream(self, _request: Any) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        self.is_closed = True


@pytest.mark.asyncio
async def test_models_are_bounded_and_closed() -> None:
    made: list[_Model] = []

    def create(_options: SessionOptions) -> LanguageModel:
        made.append(_Model())
        return made[-1]

    models = LanguageModels(create)
    for number in range(33):
        models.get(_options(max_reply_tokens=number + 1))
        models.get(_options(max_reply_tokens=1))
    await models.close()
    assert len(made) == 33
    assert all(model.is_closed for model in made)
    models.get(_options(max_reply_tokens=1))
    assert len(made) == 34
    await models.close()


@pytest.mark.asyncio
async def test_a_session_whose_model_was_left_out_goes_on() -> None:
    async with chat_server() as server:
        models = LanguageModels()
        kept = SessionOptions(language_model=options(server.base_url))
        model = models.get(kept)
        assert model is not None
        assert (await read(model)).reason == "stop"
        for number in range(40):
            models.get(_options(max_reply_tokens=number + 1))
        assert models.get(kept) is not model
        assert (await read(model)).reason == "stop"
        await models.close()
        await model.close()


def test_the_client_is_imported_by_the_first_request_only() -> None:
    code = "import sys, speech.server; print('openai' in sys.modules, 'httpx2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
