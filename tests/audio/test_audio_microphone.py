import time
from array import array
from pathlib import Path
from typing import Any

import pytest

from audio import microphone
from audio.microphone import Microphone, MicrophoneError, find_microphone, pick_channel
from audio.settings import AudioSettings
from demo.microphone import BuildError, SimulatedMicrophone, build
from tests.audio.conftest import running_ear, wait_until


class FakePortAudio:
    """Devices as PortAudio lists them; each can do the (rate, channels) pairs that it was given."""

    class PortAudioError(Exception):
        pass

    class default:  # noqa: N801 - sounddevice's name of it
        device = (2, -1)

    def __init__(self) -> None:
        self.able: dict[int, set[tuple[int, int]]] = {}
        self.devices: list[dict[str, Any]] = [{"name": "HDMI", "max_input_channels": 0, "default_samplerate": 44100.0}]

    def add(self, name: str, channels: int, own_hz: int, able: set[tuple[int, int]]) -> None:
        self.able[len(self.devices)] = able
        self.devices.append({"name": name, "max_input_channels": channels, "default_samplerate": float(own_hz)})

    def query_devices(self) -> list[dict[str, Any]]:
        return self.devices

    def check_input_settings(self, *, device: int, channels: int, dtype: str, samplerate: int) -> None:
        if (samplerate, channels) not in self.able[device]:
            raise self.PortAudioError("Invalid sample rate")


@pytest.fixture
def portaudio(monkeypatch: pytest.MonkeyPatch) -> FakePortAudio:
    fake = FakePortAudio()
    monkeypatch.setattr(microphone, "_portaudio", lambda: fake)
    return fake


def test_without_a_wish_the_systems_default_is_taken(portaudio: FakePortAudio) -> None:
    portaudio.add("USB PnP Sound Device (hw:1,0)", 1, 48000, {(48000, 1)})
    portaudio.add("Webcam (hw:2,0)", 1, 16000, {(16000, 1)})
    assert find_microphone(AudioSettings()) == Microphone(2, "Webcam (hw:2,0)", 16000, 1)


def test_part_of_a_name_in_any_case_will_do_and_the_whole_name_wins(portaudio: FakePortAudio) -> None:
    portaudio.add("USB PnP Sound Device (hw:1,0)", 1, 48000, {(48000, 1)})
    portaudio.add("pnp", 1, 16000, {(16000, 1)})
    assert find_microphone(AudioSettings(device="sound dev")).number == 1
    assert find_microphone(AudioSettings(device="PNP")).number == 2


def test_a_device_without_inputs_is_no_microphone(portaudio: FakePortAudio) -> None:
    with pytest.raises(MicrophoneError, match="no microphone is plugged in"):
        find_microphone(AudioSettings())
    portaudio.add("Webcam", 1, 16000, {(16000, 1)})
    with pytest.raises(MicrophoneError, match="no microphone is called 'HDMI'; plugged in: 'Webcam'"):
        find_microphone(AudioSettings(device="HDMI"))


@pytest.mark.parametrize(
    ("own_hz", "able_hz", "chosen_hz"),
    [
        (16000, {16000, 48000}, 16000),
        (44100, {44100, 48000, 16000}, 48000),
        (44100, {44100, 16000}, 16000),
        (44100, {44100}, 44100),
        (96000, {96000}, 96000),
    ],
)
def test_the_own_rate_is_kept_where_the_detector_takes_it(
    portaudio: FakePortAudio, own_hz: int, able_hz: set[int], chosen_hz: int
) -> None:
    portaudio.add("Webcam", 1, own_hz, {(rate_hz, 1) for rate_hz in able_hz})
    assert find_microphone(AudioSettings()).rate_hz == chosen_hz


def test_a_device_that_opens_with_all_channels_only_is_opened_so(portaudio: FakePortAudio) -> None:
    portaudio.add("Array", 4, 16000, {(16000, 4)})
    assert find_microphone(AudioSettings(channel=2)).channels == 4


def test_a_channel_too_many_is_told(portaudio: FakePortAudio) -> None:
    portaudio.add("Webcam", 2, 16000, {(16000, 2)})
    with pytest.raises(MicrophoneError, match=r"'Webcam' has 2 channel\(s\), and channel 3 is asked for"):
        find_microphone(AudioSettings(channel=3))


def test_a_device_that_nothing_opens_is_told_with_portaudios_reason(portaudio: FakePortAudio) -> None:
    portaudio.add("Webcam", 1, 16000, set())
    with pytest.raises(MicrophoneError, match="'Webcam' cannot be opened: Invalid sample rate"):
        find_microphone(AudioSettings())


def test_one_channel_is_picked_out_of_several() -> None:
    frames = array("h", [1, 2, 3, 11, 12, 13, 21, 22, 23]).tobytes()
    assert array("h", pick_channel(frames, 3, 2)).tolist() == [2, 12, 22]
    assert pick_channel(frames, 1, 1) == frames


def test_the_simulated_microphone_is_compiled_once(tmp_path: Path) -> None:
    first = build(tmp_path)
    made_ns = first.stat().st_mtime_ns
    assert build(tmp_path) == first
    assert first.stat().st_mtime_ns == made_ns
    assert list(tmp_path.iterdir()) == [first]


def test_a_missing_compiler_is_told_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="sudo apt-get install gcc libasound2-dev"):
        build(tmp_path)


@pytest.mark.servers
def test_the_simulated_microphone_keeps_the_pace_of_real_time(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone):
        frames, since_s = microphone.frames, time.monotonic()
        wait_until(lambda: microphone.frames >= frames + microphone.rate_hz)
        assert 0.9 < time.monotonic() - since_s < 1.6
