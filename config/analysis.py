"""The language model that works on transcripts after calls: that of the `LLM_*` settings."""

from __future__ import annotations

from importlib.util import find_spec

from config.settings import AgentConfigError, Settings

_PACKAGES = ("openai", "json_repair")


def require_language_model(settings: Settings) -> None:
    """Refuse a summary or an extraction that no language model could make.

    Raises:
        AgentConfigError: none is configured, or the packages that reach it are missing.
    """
    # The packaged model runs beside the local model, and only where that one runs.
    is_packaged = settings.has_embedded_language_model and settings.model_provider == "local"
    if settings.llm_base_url is None and not (is_packaged and settings.local_model_uri is None):
        text = "summarise and extract need a language model: set LLM_BASE_URL and LLM_MODEL"
        raise AgentConfigError(text, code="no_language_model")
    if not all(map(find_spec, _PACKAGES)):
        text = "summarise and extract: first pip install -r requirements-speech.txt"
        raise AgentConfigError(text, code="no_language_model")
