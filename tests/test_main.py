"""The command line as a user meets it: one clear line and a non-zero exit for what is wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from audio import write_wav
from version import VERSION

ROOT = Path(__file__).parent.parent
SECRET = "s" * 32


def _main(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return _main_in(ROOT, *arguments, PARLEY_ENV_FILE="", **environ)


def _main_in(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "main", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _assert_one_line(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on: bound, so that nobody else takes it, but not listening."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
def question(tmp_path: Path) -> Path:
    path = tmp_path / "question.wav"
    write_wav(path, bytes(3200), 16_000)
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("command",)),
        (("dance",), ("dance",)),
        (("agent", "--channel_name=../x", "--uid=1"), ("channel_name",)),
        (("agent", "--channel_name=x", "--uid=-1"), ("uid", "4294967295")),
        (("agent", "--uid=1"), ("--channel_name",)),
        (("token", "--channel_name=x", "--uid=0"), ("uid", "4294967295")),
        (("call", "--channel_name=x"), ("--in", "--out")),
        *(
            (("call", "--channel_name=x", "--in=q", "--out=a", option), (option.partition("=")[0],))
            for option in (
                "--server=nonsense",
                "--server=http://[::1",
                "--server=http://127.0.0.1:99999",
                "--server=ftp://127.0.0.1",
                "--max_wait_s=nan",
                "--max_wait_s=-1",
            )
        ),
        (("agent", "--channel_name=x", "--uid=1", "--server=nonsense"), ("--server",)),
        (("model",), ("--port",)),
        (("server", "--port=many"), ("port",)),
    ],
)
def test_bad_arguments(arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    _assert_one_line(_main(*arguments), 2, *words)


def test_help_names_every_command() -> None:
    done = _main("--help")
    assert done.returncode == 0
    for command in ("server", "agent", "call", "model", "token"):
        assert command in done.stdout


def test_the_version_is_printed() -> None:
    done = _main("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Parley {VERSION}\n", "")


def test_a_wrong_environment_is_named() -> None:
    _assert_one_line(_main("server", SERVER_PORT="eighty"), 1, "SERVER_PORT")


def test_an_open_server_is_refused() -> None:
    _assert_one_line(_main("server", "--host=0.0.0.0", "--port=0"), 1, "API_KEYS")


def test_an_open_model_server_is_refused() -> None:
    _assert_one_line(_main("model", "--host=0.0.0.0", "--port=0"), 1, "LOCAL_MODEL_API_KEY")


def test_all_that_settings_name_and_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wrong = {
        "SKILLS_DIR": str(tmp_path / "nowhere"),
        "RECORDINGS_DIR": str(tmp_path / "file" / "recordings"),
        "STORE_URL": "postgresql://me:my-password@host",
        "PROVIDER_FACTORIES": "acme=json",
        "DATA_DIR": str(tmp_path / "data"),
    }
    done = _main("server", "--host=0.0.0.0", "--port=0", **wrong)
    assert done.returncode == 1
    first, *lines = done.stderr.splitlines()
    assert first == "main: 5 settings are wrong:"
    begins = ("refusing to listen", "SKILLS_DIR", "RECORDINGS_DIR", "STORE_URL", "PROVIDER_FACT")
    for line, begin in zip(lines, begins, strict=True):
        assert line.strip().startswith(begin)
    assert "my-password" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_call_needs_a_server(closed_port: int, question: Path) -> None:
    done = _main(
        "call",
        "--channel_name=x",
        f"--server=http://127.0.0.1:{closed_port}",
        f"--in={question}",
        "--out=/dev/null",
    )
    _assert_one_line(done, 1, str(closed_port))


def test_a_call_needs_a_readable_question(tmp_path: Path) -> None:
    done = _main(
        "call", "--channel_name=x", f"--in={tmp_path}/missing.wav", f"--out={tmp_path}/a.wav"
    )
    _assert_one_line(done, 1, "missing.wav")


def test_an_agent_needs_a_server(closed_port: int) -> None:
    done = _main("agent", "--channel_name=x", "--uid=1", f"--server=http://127.0.0.1:{closed_port}")
    _assert_one_line(done, 1, str(closed_port))


def test_an_agent_needs_a_key_for_openai(closed_port: int) -> None:
    done = _main(
        "agent",
        "--channel_name=x",
        "--uid=1",
        "--provider=openai",
        f"--server=http://127.0.0.1:{closed_port}",
    )
    _assert_one_line(done, 1, "OPENAI_API_KEY")


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _assert_one_line(_main("server", f"--port={port}"), 1, str(port))
        _assert_one_line(_main("model", f"--port={port}"), 1, "model")


def test_a_token_is_signed_for_its_channel() -> None:
    done = _main("token", "--channel_name=demo", "--uid=7", ROOM_TOKEN_SECRET=SECRET)
    assert done.returncode == 0, done.stderr
    claims = jwt.decode(done.stdout.strip(), SECRET, algorithms=["HS256"])
    assert (claims["channel"], claims["uid"], claims["role"]) == ("demo", 7, "user")


def test_a_token_needs_a_secret() -> None:
    _assert_one_line(_main("token", "--channel_name=demo", "--uid=7"), 1, "ROOM_TOKEN_SECRET")


# -- .env ---------------------------------------------------------------------------------------


def test_a_command_reads_the_file_of_its_folder_and_the_environment_goes_first(
    tmp_path: Path,
) -> None:
    (tmp_path / ".env").write_text(f"# secrets\nexport ROOM_TOKEN_SECRET='{SECRET}'\n")
    arguments = ("token", "--channel_name=demo", "--uid=7")
    done = _main_in(tmp_path, *arguments)
    assert jwt.decode(done.stdout.strip(), SECRET, algorithms=["HS256"])["uid"] == 7
    other = "o" * 32
    done = _main_in(tmp_path, *arguments, ROOM_TOKEN_SECRET=other)
    assert jwt.decode(done.stdout.strip(), other, algorithms=["HS256"])["uid"] == 7
    # Set to nothing is set, and unset for the settings.
    done = _main_in(tmp_path, *arguments, ROOM_TOKEN_SECRET="")
    _assert_one_line(done, 1, "ROOM_TOKEN_SECRET")


@pytest.mark.parametrize(
    "arguments",
    [
        ("server", "--port=0"),
        ("agent", "--channel_name=x", "--server=http://127.0.0.1:1"),
        ("call", "--channel_name=x", "--in=q.wav", "--out=a.wav"),
        ("model", "--port=0"),
        ("token", "--channel_name=x", "--uid=1"),
    ],
)
def test_every_command_names_all_that_is_wrong_in_the_file(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    lines = ("SERVER_PORT=eighty", "", "LOG_LEVEL", 'GOODBYE="never closed', "API_KEYS=my-key")
    (tmp_path / ".env").write_text("\n".join((*lines, "OPENAI_APIKEY=my-other-key")))
    done = _main_in(tmp_path, *arguments, MAX_AGENTS="-1")
    assert done.returncode == 1
    first, *rest = (line.strip() for line in done.stderr.splitlines())
    assert first == "main: 5 settings are wrong:"
    begins = {
        ".env, line 3: no = follows",
        ".env, line 4: is not NAME=VALUE",
        "SERVER_PORT (.env, line 1): ",
        "API_KEYS (.env, line 5), number 1: has 6 characters",
        "MAX_AGENTS: ",
        "OPENAI_APIKEY (.env, line 6) is no setting, and not read: is OPENAI_API_KEY meant?",
    }
    assert len(rest) == len(begins)
    assert all(any(line.startswith(begin) for line in rest) for begin in begins), rest
    assert "my-" not in done.stderr
    assert "never" not in done.stderr


def test_help_needs_no_sound_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("nonsense")
    assert _main_in(tmp_path, "--help").returncode == 0
