"""`Minds`: the language models of a process, shared by its sessions."""

from __future__ import annotations

from speech.language_model.create import CreateModel, LanguageModels
from speech.mind import Mind
from speech.options import SessionOptions
from speech.reply_counters import ReplyCounters


class Minds:
    """A mind for each session, one client for each choice of model."""

    def __init__(self, create_model: CreateModel) -> None:
        self.counters = ReplyCounters()
        self._models = LanguageModels(create_model)

    def mind(self, options: SessionOptions) -> Mind:
        """Return the mind that a session with these options gets."""
        model = self._models.get(options)
        return Mind(model, options.language_model, language=options.language)

    async def close(self) -> None:
        """Close the models' connections."""
        await self._models.close()
