"""End of turn by words: whether a sentence can end with those that were heard. Pure."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


class Completeness(Enum):
    """Degree to which a sentence is whole, by its words."""

    COMPLETE = "complete"
    DOUBTFUL = "doubtful"
    """It may end here, but as often goes on: "turn it on", "turn it on my ..."."""
    INCOMPLETE = "incomplete"


_INCOMPLETE: Final = {
    "en": """
        a an the my your his its our their every and or but nor because if unless whether although
        whereas while than i'm i'd i'll i've we're we'd we'll we've you're you'd you'll they're
        they'd they'll there's um umm uh uhm er erm hmm plus minus per via without between among
        toward towards until till during despite
    """,
    "de": """
        der die das den dem des ein eine einen einem einer mein meine meinen meinem meiner dein
        deine ihr ihre unser unsere kein keine keinen und oder aber denn weil dass ob wenn falls
        obwohl sowie zum zur vom beim ins im am fürs ähm äh hm für bei zwischen gegen ohne durch
    """,
    "fr": """
        le la les un une des du au aux mon ma mes ton ta tes son sa ses notre nos votre vos leur
        leurs ce cet cette ces et ou mais car parce que qui si quand lorsque puisque comme de à en
        dans pour par sur sous chez entre vers sans euh hum je j' c'est
    """,
    "es": """
        el los las un una unos unas mi mis tu tus su sus nuestro nuestra y o u pero porque que si
        cuando aunque de del a al en con por para sin sobre entre hacia hasta desde eh em
    """,
    "it": """
        il lo la i gli le un uno una mio mia miei mie tuo tua suo sua nostro nostra e o ma però
        perché che se quando di del della dei delle a al alla in nel nella con per su sul sulla tra
        fra da dal dalla senza ehm eh
    """,
    "pt": """
        o a os as um uma meu minha meus minhas seu sua nosso nossa e ou mas porque que se quando de
        do da dos das em no na nos nas com por para sem sobre entre até hã
    """,
    "nl": """
        de het een mijn jouw zijn haar ons onze jullie hun en of maar want omdat dat als wanneer
        hoewel voor van naar met bij tussen zonder door om te ehm eh
    """,
}

_DOUBTFUL: Final = {
    "en": """
        to of for from with at into onto about by in on off up as so which who whom whose
        what when where how is are was were am be been being will would can could should shall may
        might must do does did have has had not very really just also like well some any
        no another he she they we i it's that's
    """,
    "de": "zu in an auf aus mit von nach über unter ist sind war hat haben ich er sie wir so also bitte",
    "fr": "est sont était a ont il elle nous vous je alors bien très plus s'il",
    "es": "es son está están era ha han yo él ella así muy más como favor",
    "it": "è sono era ha hanno io lui lei così molto più come",
    "pt": "é são está estão era tem têm eu ele ela assim muito mais como",
    "nl": "in op aan uit is zijn was heeft hebben ik hij zij we dus ook",
}

_LASTS: Final = {
    language: (frozenset(_INCOMPLETE[language].split()), frozenset(_DOUBTFUL[language].split()))
    for language in _INCOMPLETE
}

_OPEN_ENDS: Final = ("...", "\N{HORIZONTAL ELLIPSIS}", ",", "-", "\N{EN DASH}", "\N{EM DASH}", ":")

# English alone below.
_PREPOSITIONS: Final = frozenset(["to", "of", "for", "from", "with", "at", "into", "onto"])
_HAS_ITS_OBJECT: Final = re.compile(
    r"\b(what|who|whom|whose|which|where|when|that|not|one|\w+n't)\b.*\s\w+$"
)
"""With one of these before it a preposition may stand last: "where from", "I don't want to"."""

_ASKS_FOR_A_NAME: Final = re.compile(
    r"what(?:'s| is| are| was| were) the .*\b(of|in|to|from|on|at)$"
)
_IS_PREDICATE: Final = re.compile(
    r"\b(?!(it|he|she|that|this|they|we|you|i|there|here|who|what)\b)\w+ (is|are|was|were)$"
)
"""After a noun: "my address is", and not "there it is"."""

_VERB_IN_TWO_PARTS: Final = re.compile(
    r"\b(turn|switch|put|log|sign|let|bring|take|fill) .*\b(on|off|in|up|down|out)$"
)
"""As in "turn the heating on"."""

_SUBORDINATE: Final = re.compile(
    r"(and |but |so |well,? )?(if|because|although|unless|whenever|once|since|as soon as"
    r"|when(?! (is|are|was|were|do|does|did|will|can|could|should|would|has|have)\b))\b[^,?]*$"
)
_LONG_SENTENCE_WORDS: Final = 9
_LEADS_ON: Final = re.compile(
    r"\b((think|know|say|said|sure|believe|hope|heard|mean|so|is) that"
    r"|(you|i|we|could|can|would|will) please)$"
)
_DICTATED: Final = re.compile(
    r"\b(number|code|pin|zip|card|account|iban|id|passport|e-?mail|address|spelled|reference)\b"
    r".*(\d|\b(one|two|three|four|five|six|seven|eight|nine|zero|oh|[b-hj-z]))$"
)
_ADDRESS: Final = re.compile(r"\be-?mail( address)? is\b(?!.*(\.|\bdot )\w\w)")
_IS_QUESTION: Final = re.compile(r"(what|which|where|who|how|is|are|was|do|does|can|could)\b")


def completeness(transcript: str, language: str | None = "en") -> Completeness:
    """Judge `transcript`; of languages without word lists its punctuation alone counts.

    language: as in BCP 47; None: English
    """
    text = transcript.strip()
    if text.endswith(_OPEN_ENDS):
        return Completeness.INCOMPLETE
    words = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").rstrip(" .!?").split()
    code = (language or "en").lower().split("-")[0]
    if not words or code not in _LASTS:
        return Completeness.COMPLETE
    last = words[-1].lstrip("¿¡\"'(")
    incomplete, doubtful = _LASTS[code]
    if last in incomplete:
        return Completeness.INCOMPLETE
    if code == "en" and (found := _english(words, last)) is not None:
        return found
    return Completeness.DOUBTFUL if last in doubtful else Completeness.COMPLETE


def _english(words: list[str], last: str) -> Completeness | None:
    """More than the last word says; None: nothing."""
    text = " ".join(words)
    # In "send a message to" something follows; in "who is it for" and "I don't want to" not.
    lacks_object = last in _PREPOSITIONS and not _HAS_ITS_OBJECT.search(text)
    if lacks_object or _ASKS_FOR_A_NAME.match(text) or _IS_PREDICATE.search(text):
        return Completeness.INCOMPLETE
    is_clause = len(words) < _LONG_SENTENCE_WORDS and _SUBORDINATE.match(text)
    is_dictated = _DICTATED.search(text) or _ADDRESS.search(text)
    if is_clause or (is_dictated and not _IS_QUESTION.match(text)) or _LEADS_ON.search(text):
        return Completeness.DOUBTFUL
    return Completeness.COMPLETE if _VERB_IN_TWO_PARTS.search(text) else None
