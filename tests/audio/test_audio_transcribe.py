import argparse
import contextlib
import json
import math
import random
import wave
from array import array
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio.model import DEMONSTRATION
from audio.settings import AudioSettings
from audio.transcribe import TranscribeError, Transcriber, transcribe_wav
from device.cli import transcribe as command

SPEECH = Path(__file__).parents[2] / "demo" / "speech"
SENTENCES = {
    "flowers.wav": "i love the flowers near the entrance",
    "pizza.wav": "we come every friday for the pizza",
    "pharmacy.wav": "the woman at the pharmacy was very patient with me",
    "mirror.wav": "the mirror in the fitting room is broken",
    "carts.wav": "why are the shopping carts outside always wet",
}


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    return Transcriber()


def read(name: str) -> "array[int]":
    with wave.open(str(SPEECH / name), "rb") as file:
        return array("h", file.readframes(file.getnframes()))


def write(path: Path, data: bytes, *, rate_hz: int = 16000, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setframerate(rate_hz)
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.writeframes(data)
    return path


@pytest.mark.parametrize("name", SENTENCES)
def test_a_synthetic_sentence_is_understood_to_the_word(transcriber: Transcriber, name: str) -> None:
    assert transcriber.transcribe(SPEECH / name).text == SENTENCES[name]


def test_words_come_with_times_and_confidences(transcriber: Transcriber) -> None:
    transcript = transcriber.transcribe(SPEECH / "flowers.wav")
    assert " ".join(word.word for word in transcript.words) == transcript.text
    starts = [word.start_s for word in transcript.words]
    assert starts == sorted(starts)
    assert all(0 <= word.start_s < word.end_s <= transcript.audio_s for word in transcript.words)
    assert all(0 <= word.confidence <= 1 for word in transcript.words)
    assert transcript.confidence is not None
    assert transcript.confidence > 0.8
    assert transcript.visit == "flowers.wav"
    assert transcript.model == "demonstration-en"


def test_a_long_pause_joins_two_sentences(transcriber: Transcriber, tmp_path: Path) -> None:
    both = read("mirror.wav").tobytes() + bytes(2 * 16000 * 3) + read("pizza.wav").tobytes()
    transcript = transcriber.transcribe(write(tmp_path / "both.wav", both))
    assert transcript.text == f"{SENTENCES['mirror.wav']} {SENTENCES['pizza.wav']}"
    later = [word for word in transcript.words if word.start_s > 6.0]
    assert [word.word for word in later] == SENTENCES["pizza.wav"].split()


def test_the_words_are_the_same_in_every_sample_width(transcriber: Transcriber, tmp_path: Path) -> None:
    samples = read("carts.wav")
    loud = array("h", [3 * sample for sample in samples])
    as_8 = write(tmp_path / "8.wav", bytes((sample >> 8) + 128 for sample in loud), width=1)
    as_24 = write(
        tmp_path / "24.wav", b"".join((sample << 8).to_bytes(3, "little", signed=True) for sample in samples), width=3
    )
    as_32 = write(tmp_path / "32.wav", array("i", [sample << 16 for sample in samples]).tobytes(), width=4)
    for path in (as_8, as_24, as_32):
        assert transcriber.transcribe(path).text == SENTENCES["carts.wav"], path.name


def test_the_channels_are_mixed(transcriber: Transcriber, tmp_path: Path) -> None:
    stereo = array("h", [side for sample in read("pizza.wav") for side in (sample, 0)])
    path = write(tmp_path / "stereo.wav", stereo.tobytes(), channels=2)
    assert transcriber.transcribe(path).text == SENTENCES["pizza.wav"]


def test_a_higher_rate_is_understood(transcriber: Transcriber, tmp_path: Path) -> None:
    tripled = array("h", [sample for sample in read("pharmacy.wav") for _ in range(3)])
    path = write(tmp_path / "48k.wav", tripled.tobytes(), rate_hz=48000)
    assert transcriber.transcribe(path).text == SENTENCES["pharmacy.wav"]


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100])
def test_every_other_rate_is_taken(transcriber: Transcriber, tmp_path: Path, rate_hz: int) -> None:
    samples = read("pizza.wav")
    taken = array("h", [samples[i * 16000 // rate_hz] for i in range(len(samples) * rate_hz // 16000)])
    transcript = transcriber.transcribe(write(tmp_path / "other.wav", taken.tobytes(), rate_hz=rate_hz))
    assert transcript.text
    assert transcript.audio_s == pytest.approx(len(samples) / 16000, abs=0.01)


def noise(peak: int, seconds: int = 3) -> "array[int]":
    chance = random.Random(7)
    return array("h", [chance.randint(-peak, peak) for _ in range(16000 * seconds)])


def tone(amplitude: int, hz: int, seconds: int = 3) -> "array[int]":
    return array("h", [round(amplitude * math.sin(2 * math.pi * hz * i / 16000)) for i in range(16000 * seconds)])


@pytest.mark.parametrize(
    "samples",
    [
        array("h", bytes(96000)),
        noise(20),
        noise(3000),
        tone(8000, 440),
        tone(8000, 1000),
        array("h", bytes(32000)) + tone(8000, 440),
    ],
    ids=["zeros", "faint noise", "loud noise", "tone", "higher tone", "tone after silence"],
)
def test_sound_without_speech_has_no_words(transcriber: Transcriber, tmp_path: Path, samples: "array[int]") -> None:
    transcript = transcriber.transcribe(write(tmp_path / "sound.wav", samples.tobytes()))
    assert transcript.text is None
    assert transcript.words == ()
    assert transcript.confidence is None
    assert transcript.speech_s == 0


def test_faint_speech_is_told_to_be_too_quiet(transcriber: Transcriber, tmp_path: Path) -> None:
    faint = array("h", [sample // 24 for sample in read("flowers.wav")])
    transcript = transcriber.transcribe(write(tmp_path / "faint.wav", faint.tobytes()))
    assert transcript.too_quiet
    assert not transcriber.transcribe(SPEECH / "flowers.wav").too_quiet


def test_clipped_speech_is_told_to_be_too_loud(transcriber: Transcriber, tmp_path: Path) -> None:
    clipped = array("h", [max(-32768, min(32767, sample * 20)) for sample in read("flowers.wav")])
    transcript = transcriber.transcribe(write(tmp_path / "clipped.wav", clipped.tobytes()))
    assert transcript.too_loud
    assert not transcriber.transcribe(SPEECH / "flowers.wav").too_loud


def test_a_file_without_samples_has_no_words(transcriber: Transcriber, tmp_path: Path) -> None:
    assert transcriber.transcribe(write(tmp_path / "empty.wav", b"")).text is None


def test_a_file_that_is_cut_off_gives_the_words_that_are_there(transcriber: Transcriber, tmp_path: Path) -> None:
    whole = (SPEECH / "mirror.wav").read_bytes()
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole[: len(whole) // 2 + 1])
    text = transcriber.transcribe(cut).text
    assert text is not None
    assert SENTENCES["mirror.wav"].startswith(text[:10])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a PCM WAV file"),
        (b"RIFF", "not a PCM WAV file"),
        (b"ID3 this is an MP3", "not a PCM WAV file"),
        (
            b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x03\0\x01\0\x80\x3e\0\0\0\xfa\0\0\x04\0\x20\0data\0\0\0\0",
            "unknown format: 3",
        ),
        (
            b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x01\0\0\0\x02\0\0\0\x02\0\x10\0data\0\0\0\0",
            "1 samples a second",
        ),
    ],
    ids=["empty", "cut off", "another format", "floating point", "one sample a second"],
)
def test_a_file_that_is_no_wav_is_told_in_a_sentence(
    transcriber: Transcriber, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "wrong.wav"
    path.write_bytes(content)
    with pytest.raises(TranscribeError, match=said) as caught:
        transcriber.transcribe(path)
    assert "wrong.wav" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_told(transcriber: Transcriber, tmp_path: Path) -> None:
    with pytest.raises(TranscribeError, match="there is no file"):
        transcriber.transcribe(tmp_path / "nowhere.wav")
    with pytest.raises(TranscribeError, match="cannot be read"):
        transcriber.transcribe(tmp_path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.integers(0, 43), st.integers(0, 255), max_size=4), st.integers(0, 3000))
def test_a_damaged_header_gives_a_transcript_or_a_sentence(
    transcriber: Transcriber, tmp_path: Path, damage: dict[int, int], length: int
) -> None:
    content = bytearray((SPEECH / "pizza.wav").read_bytes()[: 44 + length])
    for position, value in damage.items():
        content[position] = value
    path = tmp_path / "damaged.wav"
    path.write_bytes(content)
    with contextlib.suppress(TranscribeError):
        assert transcriber.transcribe(path).visit == "damaged.wav"


def test_the_model_can_be_named(tmp_path: Path) -> None:
    assert transcribe_wav(SPEECH / "pizza.wav", DEMONSTRATION).text == SENTENCES["pizza.wav"]
    with pytest.raises(TranscribeError, match="there is no model"):
        transcribe_wav(SPEECH / "pizza.wav", tmp_path / "none")


def run_command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["transcribe", *arguments])
    status: int = parsed.run(parsed)
    return status


@pytest.mark.servers
def test_the_command_prints_words_and_goes_on_after_a_bad_file(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    assert run_command(str(bad), str(SPEECH / "pizza.wav")) == 1
    out, err = capfd.readouterr()
    assert out == f"{SPEECH / 'pizza.wav'}: {SENTENCES['pizza.wav']}\n"
    assert f"kiosk: {bad} is not a PCM WAV file" in err


@pytest.mark.servers
def test_the_command_prints_one_json_object_for_each_file(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command("--json", str(SPEECH / "pizza.wav"), str(SPEECH / "carts.wav")) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == [SENTENCES["pizza.wav"], SENTENCES["carts.wav"]]
    assert lines[0]["words"][0]["word"] == "we"


def test_the_command_tells_a_missing_model_in_a_sentence(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_command("--model", str(tmp_path / "none"), str(SPEECH / "pizza.wav")) == 1
    assert capfd.readouterr().err.startswith("kiosk: there is no model at")


@pytest.mark.servers
def test_a_recogniser_that_dies_is_told_in_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A worker that finds a false `vosk` first dies as libvosk does when it meets something it cannot bear.
    (tmp_path / "vosk.py").write_text("import os\nos.abort()\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert run_command(str(SPEECH / "pizza.wav")) == 1
    assert "the recogniser died" in capfd.readouterr().err


def test_settings_reach_the_transcript() -> None:
    transcript = transcribe_wav(SPEECH / "pizza.wav", settings=AudioSettings(language="en-GB"))
    assert transcript.language == "en-GB"
