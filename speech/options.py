"""`SessionOptions`: the recogniser, language model and voice of a session. Pure."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

RecogniserName = Literal["whisper-tiny.en", "whisper-base", "server"]
VoiceEngineName = Literal["piper", "kokoro", "server"]
"""Engines besides those that `package.module:function` names."""

OPTIONS_HEADER: Final = "Parley-Session-Options"
"""Header with a session's own options, of the handshake; only taken with `SECRET_HEADER`."""

SECRET_HEADER: Final = "Parley-Options-Secret"

HttpUri = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", max_length=2_000)]


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LanguageModelOptions(_Options):
    """A language model behind a server of OpenAI's chat-completions shape.

    base_url: with the version, as OpenAI's clients take it: `http://127.0.0.1:11434/v1`
    context_tokens: window of the model; older turns that do not fit are left out of requests
    max_reply_tokens: None: as the server has it
    rules: `first`: the built-in rules answer what they know, and the model the rest
    first_token_timeout_s: limit on the wait for the first token, with all retries
    fallback_after_s: the same where a fallback stands by, which is then asked instead
    filler_after_s: wait for the first token after which the caller hears that an answer is coming;
        None: never
    token_timeout_s, reply_timeout_s: limits on the wait between tokens and for the whole reply
    extra_body: further fields of each request, such as `reasoning_effort`
    """

    base_url: HttpUri
    model: str = Field(min_length=1, max_length=200)
    api_key: SecretStr | None = None
    headers: dict[str, SecretStr] = {}
    temperature: float | None = Field(default=None, ge=0, le=2)
    context_tokens: int = Field(default=8_192, ge=512, le=10_000_000)
    max_reply_tokens: int | None = Field(default=None, ge=1, le=100_000)
    rules: Literal["off", "first"] = "off"
    first_token_timeout_s: float = Field(default=15.0, gt=0, le=600)
    fallback_after_s: float = Field(default=4.0, gt=0, le=600)
    filler_after_s: float | None = Field(default=4.0, gt=0, le=600)
    token_timeout_s: float = Field(default=10.0, gt=0, le=600)
    reply_timeout_s: float = Field(default=90.0, gt=0, le=3_600)
    extra_body: dict[str, Any] = {}


class RecogniserOptions(_Options):
    """The recogniser.

    engine: `whisper-tiny.en`, `whisper-base` (many languages), `server` (an
        `/v1/audio/transcriptions` endpoint at `base_url`), or `package.module:function`
    directory: own model files in CTranslate2's form, for the Whisper engines
    """

    engine: str = Field(default="whisper-tiny.en", max_length=200)
    base_url: HttpUri | None = None
    model: str = ""
    api_key: SecretStr | None = None
    directory: Path | None = None


class VoiceOptions(_Options):
    """The voice.

    engine: `piper`, `kokoro`, `server` (an `/v1/audio/speech` endpoint at `base_url`), or
        `package.module:function`
    name: of the voice, for engines that have several; empty: the engine's default
    directory: own Piper voice (`*.onnx`, `*.onnx.json`)
    """

    engine: str = Field(default="piper", max_length=200)
    name: str = Field(default="", max_length=200)
    base_url: HttpUri | None = None
    model: str = ""
    api_key: SecretStr | None = None
    directory: Path | None = None


class SessionOptions(_Options):
    """Options of one session, or the defaults of a process. None: the process's default.

    language: BCP 47 tag that picks recogniser and voice
    noise_suppression: before the recogniser
    """

    language: str | None = Field(default=None, max_length=35)
    language_model: LanguageModelOptions | None = None
    fallback_language_model: LanguageModelOptions | None = None
    recogniser: RecogniserOptions | None = None
    voice: VoiceOptions | None = None
    noise_suppression: bool | None = None

    def over(self, defaults: SessionOptions) -> SessionOptions:
        """Return these options, and `defaults` where there are none."""
        own = {name: getattr(self, name) for name in SessionOptions.model_fields}
        given = {name: value for name, value in own.items() if value is not None}
        return defaults.model_copy(update=given)


def options_with_secrets(options: BaseModel) -> dict[str, Any]:
    """Return a dump with keys in clear text: for the pipe or header that carries options only."""

    def clear(value: Any) -> Any:
        match value:
            case SecretStr():
                return value.get_secret_value()
            case Path():
                return str(value)
            case dict():
                return {key: clear(each) for key, each in value.items()}
            case _:
                return value

    dumped = options.model_dump(exclude_none=True)
    return {name: clear(value) for name, value in dumped.items()}


def encode_options(options: SessionOptions) -> str:
    """Return the value of `OPTIONS_HEADER`, which holds keys in clear text."""
    return base64.urlsafe_b64encode(json.dumps(options_with_secrets(options)).encode()).decode()


def decode_options(text: str) -> SessionOptions:
    """Read the value of `OPTIONS_HEADER`.

    Raises:
        ValueError: it is none; the text repeats no value.
    """
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii"))
        return SessionOptions.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise ValueError(f"{place}: {first['msg']}") from None
    except ValueError:
        raise ValueError("not base64url of JSON") from None


class ProcessOptions(_Options):
    """Options of a model server process, as its parent writes them to its standard input.

    session: defaults of sessions
    api_key: that clients must show; None: none on this machine
    options_secret: that a client shows to choose options of its own for a session
    allowed_origins: of pages that may connect besides those of this machine
    """

    session: SessionOptions = SessionOptions()
    api_key: SecretStr | None = None
    options_secret: SecretStr | None = None
    allowed_origins: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Return the JSON with keys in clear text, for the child's standard input only."""
        return json.dumps(options_with_secrets(self)).encode()
