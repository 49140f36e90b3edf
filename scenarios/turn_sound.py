"""Sound of a turn that a person speaks, or that is a noise."""

from __future__ import annotations

from scenarios.engines import Engines
from scenarios.format import Person, Scenario, Turn
from scenarios.sound import SPEECH_RMS, at_snr, make_noise


def person_of(scenario: Scenario, turn: Turn) -> Person:
    """Return the person whose turn it is."""
    return next((one for one in scenario.people if one.name == turn.by), scenario.people[0])


async def turn_sound(scenario: Scenario, turn: Turn, engines: Engines) -> bytes:
    """Return the sound of a turn `say`, `wav` or `noise_s`, PCM16 mono at 24 kHz.

    Raises:
        ScenarioError: A voice or a file cannot be had.
    """
    if turn.noise_s is not None:
        level = SPEECH_RMS / 10 ** ((turn.snr_db or 0.0) / 20)
        return make_noise(turn.noise_s, level)
    if turn.wav is not None:
        folder = None if scenario.file is None else scenario.file.parent
        pcm = await engines.read(turn.wav if folder is None else folder / turn.wav)
    else:
        person = person_of(scenario, turn)
        pcm = await engines.speak(turn.say or "", turn.voice or person.voice, person.language)
    return pcm if turn.snr_db is None else at_snr(pcm, turn.snr_db)
