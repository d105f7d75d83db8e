"""`kiosk` as a technician types it: a mistake is one sentence, never a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contract.credentials import BrokerCredentials, write
from demo.sentences import SENTENCES, SPEECH

REPOSITORY = Path(__file__).parents[2]


def kiosk(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "device.cli.main", *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def the_sentence(done: subprocess.CompletedProcess[str], status: int) -> str:
    """Check that a command failed with one sentence, and return it."""
    assert done.returncode == status, done
    # The embedded model says loudly that it is none for people; that is beside the point here.
    lines = [line for line in done.stderr.strip().splitlines() if "synthetic voices only" not in line]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "kiosk.toml"
    path.write_text(
        f'credentials = "{tmp_path}/credentials.toml"\nstate_dir = "{tmp_path}/state"\nruntime_dir = "{tmp_path}/run"\n'
    )
    return path


def test_a_wrong_key_is_named_with_the_file_and_the_nearest_valid_key(config: Path) -> None:
    config.write_text(config.read_text() + "[visit]\nthanks_sec = 3\n")
    assert the_sentence(kiosk("run", "--config", config), 2) == (
        f"kiosk: {config}: unknown key 'thanks_sec' in [visit]; the nearest valid key is 'thanks_s'"
    )


def test_a_value_out_of_bounds_is_named(config: Path) -> None:
    config.write_text(config.read_text() + "[visit]\nthanks_s = -3\n")
    assert "visit.thanks_s" in the_sentence(kiosk("run", "--config", config), 2)


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/none.toml" in the_sentence(kiosk("run", "--config", tmp_path / "none.toml"), 2)


def test_missing_credentials_are_named(config: Path, tmp_path: Path) -> None:
    assert f"{tmp_path}/credentials.toml: there is no such file" in the_sentence(kiosk("run", "--config", config), 2)


def test_a_folder_that_cannot_be_made_is_named(config: Path, tmp_path: Path) -> None:
    certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    credentials = BrokerCredentials(
        kiosk_id="a", host="h", port=1, username="a", password="x" * 16, ca_certificate=certificate
    )
    write(tmp_path / "credentials.toml", credentials)
    (tmp_path / "state").write_text("a file where the folder should be")
    assert f"{tmp_path}/state: File exists" in the_sentence(kiosk("run", "--config", config), 1)


def test_watching_without_a_kiosk_says_how_to_start_one(config: Path) -> None:
    assert "kiosk run" in the_sentence(kiosk("watch", "--config", config), 1)


def test_a_spool_that_does_not_exist_is_not_made_by_looking(config: Path, tmp_path: Path) -> None:
    assert "there is no spool" in the_sentence(kiosk("spool", "list", "--config", config), 1)
    assert not (tmp_path / "state").exists()


def test_a_wav_is_transcribed_by_the_recogniser_of_the_kiosk() -> None:
    wav = SPEECH / "flowers.wav"
    done = kiosk("transcribe", wav, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == SENTENCES[wav]


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", b"this is no sound at all\n" * 100, b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + bytes(16)],
    ids=["empty", "cut off", "text", "zeroes"],
)
def test_a_wav_that_is_not_one_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no.wav"
    path.write_bytes(content)
    assert str(path) in the_sentence(kiosk("transcribe", path), 1)


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    sentence = the_sentence(kiosk("transcribe", SPEECH / "flowers.wav", "--model", tmp_path / "no-model"), 1)
    assert str(tmp_path / "no-model") in sentence
