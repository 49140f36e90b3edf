"""`sounds` of a definition and a start, and the files that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from audio import write_wav
from cli.app import load_checked
from config import sound_files
from config.settings import ConfigError, Settings
from config.sound_files import SHIPPED, find_clip, load_sounds, sound_folders, sound_paths
from config.sounds import Sounds
from control.api.schemas import StartAgentRequest
from control.api.starts import AgentConfigurator
from control.http.errors import ApiError
from control.readiness import require_startable
from parley.load_problem import AppError
from parley.sounds.make import main as make_sounds
from session.idle_prompter import idle_prompts_of

BASE = {"MODEL_PROVIDER": "local", "LOCAL_MODEL_URI": "ws://127.0.0.1:9"}
RATE_HZ = 24_000


def wav(path: Path, value: int = 1_000, duration_s: float = 0.1, rate_hz: int = RATE_HZ) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_wav(path, np.full(int(duration_s * rate_hz), value, np.int16).tobytes(), rate_hz)
    return path


def settings(**values: object) -> Settings:
    return Settings.from_env(BASE | {name.upper(): str(value) for name, value in values.items()})


# -- the object --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("Hm?", {"": ("Hm?",)}),
        (["Hm?", "So?"], {"": ("Hm?", "So?")}),
        ({"de": "Da?", "pt-BR": ["Oi?"]}, {"de": ("Da?",), "pt-br": ("Oi?",)}),
    ],
)
def test_words_come_as_text_list_or_by_language(given: object, read: object) -> None:
    sounds = Sounds.model_validate({"idle": {"say": given}})
    assert sounds.idle is not None
    assert sounds.idle.say == read
    assert Sounds.model_validate_json(sounds.model_dump_json()) == sounds


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"idle": {"say": ""}}, "1 to 200 characters"),
        ({"idle": {"say": []}}, "give 1 to 20 texts"),
        ({"idle": {"say": 7}}, "give a text"),
        ({"idle": {"say": {"Deutsch!": "Da?"}}}, "no language tag"),
        ({"idle": {"say": "Hm?", "sound": "chime"}}, "one of say, instructions and sound"),
        ({"idle": {"after_s": 0}}, "after_s"),
        ({"idle": {"times": 11}}, "times"),
        ({"thinking": {"sound": "../secret"}}, "sound"),
        ({"thinking": {"phrase_sounds": "/etc/passwd"}}, "phrase_sounds"),
        ({"background": {}}, "sound"),
        ({"background": {"sound": "room", "level_db": 1}}, "level_db"),
        ({"music": {}}, "music"),
    ],
)
def test_what_is_wrong_is_refused_by_name(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        StartAgentRequest.model_validate({"channel_name": "demo", "sounds": given})


def test_a_start_replaces_the_parts_that_it_names_and_can_turn_them_off() -> None:
    lower = Sounds.model_validate({"idle": {}, "background": {"sound": "room"}, "normalise": True})
    start = Sounds.model_validate({"idle": None, "thinking": {"sound": "waiting"}})
    merged = start.over(lower)
    assert merged.idle is None
    assert merged.thinking == start.thinking
    assert merged.background == lower.background
    assert merged.normalise
    assert start.over(None) == start


def test_the_providers_own_idle_timeout_turns_ours_off() -> None:
    sounds = {"idle": {"after_s": 5}}
    for vad, is_ours in (({}, True), ({"idle_timeout_ms": 6_000}, False)):
        wanted = {"turn_detection": {"type": "server_vad", **vad}, "sounds": sounds}
        request = StartAgentRequest.model_validate({"channel_name": "demo"} | wanted)
        config, _ = AgentConfigurator(settings(), "http://127.0.0.1:1", None).configure(request)
        assert (idle_prompts_of(config) is not None) is is_ours


# -- the files ---------------------------------------------------------------------------------------


def test_ours_are_as_the_script_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.sounds.make.FOLDER", tmp_path)
    make_sounds()
    ours = sound_paths([SHIPPED])
    assert ours.keys() == {"chime", "office", "room", "typing", "waiting"}
    for name, made in sound_paths([tmp_path]).items():
        clips = [find_clip([folder], name, RATE_HZ, level_db=0) for folder in (tmp_path, SHIPPED)]
        difference = clips[0].samples.astype(np.int32) - clips[1].samples
        assert np.abs(difference).max() <= 1, made


def test_of_two_files_of_one_name_the_owners_counts(tmp_path: Path) -> None:
    app = tmp_path / "desk.py"
    app.write_text("")
    in_folder = wav(tmp_path / "own" / "room.wav")
    wav(tmp_path / "sounds" / "room.wav")
    in_app = wav(tmp_path / "sounds" / "song.wav")
    folders = sound_folders(settings(sounds_dir=tmp_path / "own", app=app))
    found = sound_paths(folders)
    assert (found["room"], found["song"], found["typing"].parent) == (in_folder, in_app, SHIPPED)
    assert sound_folders(settings(app=tmp_path))[0] == tmp_path / "sounds"
    assert sound_folders(settings(app="a.module")) == (SHIPPED,)


def test_an_apps_own_sounds_are_known_where_it_is_checked(tmp_path: Path) -> None:
    wav(tmp_path / "sounds" / "song.wav")
    app = tmp_path / "desk.py"
    text = (
        'from parley import Agent\nAGENT = Agent("desk", sounds={"background": {"sound": "%s"}})\n'
    )
    app.write_text(text % "song")
    assert load_checked(str(app), settings()).definitions["desk"].sounds is not None
    app.write_text(text % "nope")
    with pytest.raises(AppError, match="desk: sounds: nope: unknown, known are chime"):
        load_checked(str(app), settings())
    app.write_text(text % "../x")
    with pytest.raises(AppError, match="sounds"):
        load_checked(str(app), settings())


def test_a_sound_is_decoded_once_and_brought_to_the_rate_and_level(tmp_path: Path) -> None:
    path = wav(tmp_path / "own" / "beep.wav", 8_000, duration_s=1, rate_hz=48_000)
    load_sounds([path.parent])
    path.write_bytes(b"gone")
    clip = find_clip([path.parent], "beep", RATE_HZ, level_db=-20)
    assert len(clip.samples) == pytest.approx(RATE_HZ, abs=50)
    assert clip.gain == pytest.approx(0.1)
    assert find_clip([path.parent], "beep", RATE_HZ, level_db=0).samples is clip.samples
    slow = find_clip([path.parent], "beep", 16_000, level_db=0, is_loop=True)
    assert slow.is_loop
    assert len(slow.samples) == pytest.approx(16_000 * 0.9, abs=50)
    assert int(np.median(slow.samples)) == pytest.approx(8_000, abs=20)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("Room 1.wav", None, "name it with a-z"),
        ("room.wav", b"RIFF and then nothing", "not a WAV file"),
        ("room.wav", b"", "not a WAV file"),
    ],
)
def test_a_server_names_the_file_that_it_cannot_use(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    path = wav(tmp_path / "own" / name)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        require_startable(settings(sounds_dir=path.parent, data_dir=tmp_path), "127.0.0.1")
    assert name in str(caught.value)


def test_a_server_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        require_startable(settings(sounds_dir=tmp_path / "no", data_dir=tmp_path), "127.0.0.1")


def test_sounds_that_are_too_long_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = wav(tmp_path / "own" / "one.wav", duration_s=2).parent
    wav(folder / "two.wav", duration_s=2)
    monkeypatch.setattr(sound_files, "MAX_TOTAL_S", 3)
    with pytest.raises(ConfigError, match="in all"):
        load_sounds([folder])
    monkeypatch.setattr(sound_files, "MAX_SOUND_S", 1)
    with pytest.raises(ConfigError, match="longer than 1 s"):
        load_sounds([wav(tmp_path / "other" / "one.wav", duration_s=2).parent])


def test_a_start_with_an_unknown_sound_is_refused(tmp_path: Path) -> None:
    folder = wav(tmp_path / "own" / "song.wav").parent
    starts = AgentConfigurator(settings(sounds_dir=folder), "http://127.0.0.1:1", None)

    def start(name: str) -> Sounds:
        wanted = {"thinking": {"sound": name, "phrase_sounds": {"en": ["song"]}}}
        request = StartAgentRequest.model_validate({"channel_name": "demo", "sounds": wanted})
        return starts.configure(request)[0].sounds

    assert start("typing").sound_names() == {"typing", "song"}
    with pytest.raises(ApiError, match="nope: unknown, known are chime, office") as caught:
        start("nope")
    assert (caught.value.status, caught.value.code) == (400, "unknown_sound")
