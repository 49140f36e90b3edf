"""Language models from options, shared by the sessions of a process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final

from speech.language_model.chat_client import import_client
from speech.language_model.chat_completions import ChatCompletionsModel
from speech.language_model.fallback import FallbackLanguageModel
from speech.language_model.protocol import LanguageModel
from speech.options import SessionOptions, options_with_secrets
from utils import OwnedTasks

CreateModel = Callable[[SessionOptions], LanguageModel | None]
"""Returns the language model that the options name; None: there is none."""

_log = logging.getLogger(__name__)

_MAX_MODELS: Final = 32


def create_language_model(options: SessionOptions) -> LanguageModel | None:
    """Return a new language model; None: no address is set, so the rules answer."""
    if options.language_model is None:
        return None
    primary = ChatCompletionsModel(options.language_model)
    if options.fallback_language_model is None:
        return primary
    return FallbackLanguageModel(
        primary,
        ChatCompletionsModel(options.fallback_language_model),
        fallback_after_s=options.language_model.fallback_after_s,
    )


class LanguageModels:
    """One language model for equal options, so that sessions share connections and what is known of
    a server.

    At most 32 are kept; beyond that the one that was asked for least recently is closed, whose
    sessions go on with connections of their own.
    """

    def __init__(self, create: CreateModel = create_language_model) -> None:
        self._create = create
        self._models: OrderedDict[str, LanguageModel] = OrderedDict()
        self._tasks = OwnedTasks(_log)
        self._running: set[asyncio.Task[None]] = set()

    def get(self, options: SessionOptions) -> LanguageModel | None:
        """Return the language model of these options; None: the rules answer."""
        key = _key(options)
        if (model := self._models.get(key)) is None:
            if (model := self._create(options)) is None:
                return None
            if not self._models:
                self._own(asyncio.to_thread(import_client), name="import client")
            self._models[key] = model
        self._models.move_to_end(key)
        if len(self._models) > _MAX_MODELS:
            _, oldest = self._models.popitem(last=False)
            self._own(oldest.close(), name="close language model")
        return model

    async def close(self) -> None:
        """Close all."""
        models, self._models = list(self._models.values()), OrderedDict()
        for model in models:
            await model.close()
        if self._running:
            await asyncio.wait(self._running)

    def _own(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        task = self._tasks.start(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


def _key(options: SessionOptions) -> str:
    """Return a digest of what the language models are made of, with their keys."""
    parts = [
        None if one is None else options_with_secrets(one)
        for one in (options.language_model, options.fallback_language_model)
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
