"""Phrases that an agent says outside of its replies, by language. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Phrases = Mapping[str, tuple[str, ...]]
"""Language tag (BCP 47, lower case) -> phrases; `ANY_LANGUAGE` holds for all others."""

ANY_LANGUAGE: Final = ""
FALLBACK_LANGUAGE: Final = "en"

STILL_THERE: Final[Phrases] = {
    "de": ("Sind Sie noch da?",),
    "en": ("Are you still there?",),
    "es": ("¿Sigue ahí?",),
    "fr": ("Vous êtes toujours là ?",),
    "it": ("È ancora in linea?",),
    "ja": ("まだいらっしゃいますか？",),  # noqa: RUF001
    "nl": ("Bent u er nog?",),
    "pl": ("Czy nadal jest Pan lub Pani na linii?",),
    "pt": ("Ainda está aí?",),
    "zh": ("您还在吗？",),  # noqa: RUF001
}

IDLE_GOODBYE: Final[Phrases] = {
    "de": ("Ich höre Sie nicht mehr und lege jetzt auf. Auf Wiederhören.",),
    "en": ("I cannot hear you any more, so I will hang up now. Goodbye.",),
    "es": ("Ya no le oigo, así que voy a colgar. Adiós.",),
    "fr": ("Je ne vous entends plus, je vais raccrocher. Au revoir.",),
    "it": ("Non la sento più, quindi riaggancio. Arrivederci.",),
    "ja": ("お声が聞こえないため、お電話を切らせていただきます。失礼いたします。",),
    "nl": ("Ik hoor u niet meer en hang nu op. Tot ziens.",),
    "pl": ("Nie słyszę już odpowiedzi, więc kończę rozmowę. Do widzenia.",),
    "pt": ("Já não o ouço, por isso vou desligar. Até logo.",),
    "zh": ("我听不到您的声音，先挂断了。再见。",),  # noqa: RUF001
}


def find_phrases(phrases: Phrases, language: str) -> tuple[str, ...]:
    """Return those of `language`, else of its primary subtag (RFC 4647, 3.4), else of any; maybe none."""
    tag = language.lower()
    while tag:
        if tag in phrases:
            return phrases[tag]
        tag = tag.rpartition("-")[0]
    return phrases.get(ANY_LANGUAGE, ())


def spoken_request(wanted: Phrases, built_in: Phrases, language: str, number: int = 0) -> str:
    """Return the instruction by which a model says the `number`th phrase, in turn.

    A language that has no phrase gets the English one, translated by the model.
    """
    for phrases in (wanted, built_in):
        if found := find_phrases(phrases, language):
            return f"Say exactly: {found[number % len(found)]}"
    fallback = built_in[FALLBACK_LANGUAGE][0]
    return f"Say in the language {language}, and nothing else: {fallback}"
