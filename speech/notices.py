"""Sentences that the server says itself when its language model does not. Pure."""

from __future__ import annotations

from typing import Final, Literal

from speech.language_model.protocol import FailureKind

Notice = FailureKind | Literal["lost", "filler", "unheard"]
"""A failure before anything was said; `lost`: after some words; `filler`: the answer takes long;
`unheard`: the recogniser failed."""

_ENGLISH: Final[dict[Notice, str]] = {
    "timeout": "Sorry, my language model takes too long to answer. Please try again.",
    "rate_limited": "Sorry, my language model has too many requests. Please try again in a moment.",
    "unavailable": "Sorry, I can't reach my language model. Please try again in a moment.",
    "refused": "Sorry, my language model refused the request. Its settings need a look.",
    "invalid": "Sorry, my language model answered something I can't use. Please ask again.",
    "empty": "Sorry, my language model has no answer to that. Please ask in other words.",
    "lost": "Sorry, I lost the rest of that answer.",
    "filler": "One moment.",
    "unheard": "Sorry, my speech recognition failed just now. Please say that again.",
}
_GERMAN: Final[dict[Notice, str]] = {
    "timeout": "Entschuldigung, mein Sprachmodell antwortet nicht rechtzeitig. "
    "Bitte versuche es noch einmal.",
    "rate_limited": "Entschuldigung, mein Sprachmodell ist überlastet. "
    "Bitte versuche es gleich noch einmal.",
    "unavailable": "Entschuldigung, ich erreiche mein Sprachmodell nicht. "
    "Bitte versuche es gleich noch einmal.",
    "refused": "Entschuldigung, mein Sprachmodell hat die Anfrage abgelehnt. "
    "Bitte prüfe die Einstellungen.",
    "invalid": "Entschuldigung, mit der Antwort meines Sprachmodells kann ich nichts anfangen. "
    "Bitte frage noch einmal.",
    "empty": "Entschuldigung, darauf hat mein Sprachmodell keine Antwort. "
    "Bitte frage mit anderen Worten.",
    "lost": "Entschuldigung, der Rest der Antwort ging verloren.",
    "filler": "Einen Moment.",
    "unheard": "Entschuldigung, meine Spracherkennung ist gerade ausgefallen. "
    "Bitte sag das noch einmal.",
}
_FRENCH: Final[dict[Notice, str]] = {
    "timeout": "Désolé, mon modèle de langage met trop de temps à répondre. Réessayez.",
    "rate_limited": "Désolé, mon modèle de langage est surchargé. Réessayez dans un instant.",
    "unavailable": "Désolé, je n'arrive pas à joindre mon modèle de langage. "
    "Réessayez dans un instant.",
    "refused": "Désolé, mon modèle de langage a refusé la demande. Vérifiez ses réglages.",
    "invalid": "Désolé, la réponse de mon modèle de langage est inutilisable. Demandez encore.",
    "empty": "Désolé, mon modèle de langage n'a pas de réponse. Demandez autrement.",
    "lost": "Désolé, j'ai perdu la suite de cette réponse.",
    "filler": "Un instant.",
    "unheard": "Désolé, ma reconnaissance vocale vient d'échouer. Répétez, s'il vous plaît.",
}
_SPANISH: Final[dict[Notice, str]] = {
    "timeout": "Lo siento, mi modelo de lenguaje tarda demasiado en responder. Inténtalo de nuevo.",
    "rate_limited": "Lo siento, mi modelo de lenguaje está saturado. "
    "Inténtalo de nuevo en un momento.",
    "unavailable": "Lo siento, no puedo conectar con mi modelo de lenguaje. "
    "Inténtalo de nuevo en un momento.",
    "refused": "Lo siento, mi modelo de lenguaje rechazó la petición. Revisa su configuración.",
    "invalid": "Lo siento, no puedo usar la respuesta de mi modelo de lenguaje. Pregunta otra vez.",
    "empty": "Lo siento, mi modelo de lenguaje no tiene respuesta. Pregunta de otra forma.",
    "lost": "Lo siento, he perdido el resto de la respuesta.",
    "filler": "Un momento.",
    "unheard": "Lo siento, mi reconocimiento de voz acaba de fallar. Repítelo, por favor.",
}
_ITALIAN: Final[dict[Notice, str]] = {
    "timeout": "Mi dispiace, il mio modello linguistico impiega troppo a rispondere. Riprova.",
    "rate_limited": "Mi dispiace, il mio modello linguistico è sovraccarico. Riprova tra poco.",
    "unavailable": "Mi dispiace, non riesco a raggiungere il mio modello linguistico. "
    "Riprova tra poco.",
    "refused": "Mi dispiace, il mio modello linguistico ha rifiutato la richiesta. "
    "Controlla le impostazioni.",
    "invalid": "Mi dispiace, non posso usare la risposta del mio modello linguistico. "
    "Chiedi di nuovo.",
    "empty": "Mi dispiace, il mio modello linguistico non ha una risposta. "
    "Chiedi con altre parole.",
    "lost": "Mi dispiace, ho perso il resto della risposta.",
    "filler": "Un momento.",
    "unheard": "Mi dispiace, il mio riconoscimento vocale è appena fallito. Ripeti, per favore.",
}
_SENTENCES: Final = {
    "en": _ENGLISH,
    "de": _GERMAN,
    "fr": _FRENCH,
    "es": _SPANISH,
    "it": _ITALIAN,
}


def notice_text(notice: Notice, language: str) -> str:
    """The sentence in this language (a BCP 47 tag), or in English where there is none."""
    return _SENTENCES.get(language.partition("-")[0].lower(), _ENGLISH)[notice]
