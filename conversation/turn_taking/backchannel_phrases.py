# ruff: noqa: RUF001
"""The phrases of `backchannel.py` by language, separated by commas."""

from __future__ import annotations

from typing import Final

ANYWHERE: Final = "hm, mhm, mm, mm hm, uh huh, uh, um, er, ah, aha, oh, eh, ok, okay, haha, wow"
BY_LANGUAGE: Final = {
    "en": "yeah, yep, yup, yes, right, sure, i see, got it, alright, all right, good, great, nice,"
    " cool, exactly, true, indeed, of course, go on, really, interesting, uh oh, makes sense",
    "de": "ja, jap, jo, genau, stimmt, klar, gut, alles klar, ach so, achso, verstehe, ich verstehe,"
    " richtig, schön, super, na klar, aha ok, ähm, äh, eben, weiter, echt, sicher",
    "fr": "oui, ouais, d'accord, bien, très bien, c'est ça, voilà, exact, exactement, je vois, euh,"
    " bon, super, ah bon, entendu, bien sûr, tout à fait, continue, vraiment",
    "es": "sí, si, vale, claro, bien, muy bien, ajá, ya, ya veo, exacto, entiendo, bueno, eh,"
    " de acuerdo, perfecto, por supuesto, sigue, genial, en serio",
    "it": "sì, si, già, certo, bene, va bene, capisco, esatto, d'accordo, ho capito, giusto, ehm,"
    " perfetto, davvero",
    "pt": "sim, claro, certo, bem, tá, tá bom, está bem, entendo, entendi, exato, isso, pois,"
    " pois é, é, perfeito, sei",
    "nl": "ja, jawel, precies, goed, oké, klopt, ik snap het, snap ik, juist, zeker, prima, leuk,"
    " ga door, echt",
    "pl": "tak, no, no tak, jasne, dobrze, dobra, rozumiem, właśnie, aha, racja, pewnie",
    "ru": "да, ага, угу, ясно, понятно, хорошо, так, точно, конечно, ладно, верно, понял, поняла,"
    " ну да, м, э, ну",
    "tr": "evet, hı hı, tamam, anladım, doğru, tabii, peki, güzel, aynen",
    "zh": "嗯, 嗯嗯, 对, 对对, 是, 是的, 好, 好的, 行, 哦, 噢, 啊, 呃, 额, 明白, 知道了, 没错, 對,"
    " 當然, 当然, 懂了, 了解",
    "ja": "うん, うんうん, はい, ええ, そう, そうそう, なるほど, へえ, ほう, あー, えっと, そうですね,"
    " そうか, わかりました, 了解",
    "ko": "네, 예, 응, 어, 음, 그래, 그래요, 그렇군요, 맞아, 맞아요, 알겠어요, 알겠습니다, 아",
}

ORDERS: Final = """
    stop wait no hold halt quiet enough stopp warte nein non arrête attends para espera basta
    ferma aspetta pare nee wacht nie czekaj стой нет подожди dur hayır 停 等 不 待 止
"""
"""Words that mean an interruption even when the agent has just said them."""
