"""A microphone opened in a process of its own: real PortAudio, a simulated USB microphone."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio import capture as capture_module
from audio import capture_child
from audio.capture import Capture, survey
from audio.capture_protocol import (
    LENGTH,
    AnswerDecoder,
    Block,
    CaptureProtocolError,
    FoundInput,
    Inputs,
    Open,
    Opened,
    Refused,
    Survey,
    Taken,
    decode_request,
    encode,
)
from audio.microphone import MicrophoneBusyError, MicrophoneError
from audio.settings import AudioSettings
from demo.microphone import DEVICE_NAME, SimulatedMicrophone
from tests.audio.conftest import wait_until
from tests.audio.test_audio_microphone import FakePortAudio

SETTINGS = AudioSettings(device=DEVICE_NAME)
ANSWERS = (
    Opened(name="mic", rate_hz=16000, channels=2),
    Block(at_s=1.5, overflowed=True, samples=bytes(range(100))),
    Refused(reason="no", is_busy=True),
)

answers = st.lists(st.sampled_from(ANSWERS), max_size=8)


@given(answers, st.integers(1, 50))
def test_answers_are_understood_however_their_bytes_are_cut(sent: list[Any], size: int) -> None:
    data = b"".join(map(encode, sent))
    decoder = AnswerDecoder()
    assert [one for i in range(0, len(data), size) for one in decoder.feed(data[i : i + size])] == sent


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", LENGTH.pack(3) + b"abc", LENGTH.pack(0)])
def test_bytes_that_are_no_answer_are_refused(data: bytes) -> None:
    with pytest.raises(CaptureProtocolError):
        AnswerDecoder().feed(data)


def test_a_request_is_understood_and_another_message_is_none() -> None:
    for request in (Open(settings=SETTINGS, rate_hz=44100, all_channels=True), Survey(settings=SETTINGS)):
        assert decode_request(encode(request)[LENGTH.size :]) == request
    with pytest.raises(CaptureProtocolError):
        decode_request(encode(ANSWERS[0])[LENGTH.size :])


class OpeningPortAudio(FakePortAudio):
    """Devices whose streams can be opened, too; a busy one is refused as PortAudio refuses it."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: set[int] = set()

    def check_input_settings(self, *, device: int, channels: int, dtype: str, samplerate: int) -> None:
        if device in self.busy:
            raise self.PortAudioError("Device unavailable", -9985)
        super().check_input_settings(device=device, channels=channels, dtype=dtype, samplerate=samplerate)

    def RawInputStream(self, *, device: int, channels: int, samplerate: int, dtype: str) -> Any:  # noqa: N802
        self.check_input_settings(device=device, channels=channels, dtype=dtype, samplerate=samplerate)
        return self

    def close(self) -> None:
        pass

    def query_devices(self, number: int | None = None) -> Any:
        return self.devices if number is None else self.devices[number]


@pytest.fixture
def portaudio(monkeypatch: pytest.MonkeyPatch) -> OpeningPortAudio:
    fake = OpeningPortAudio()
    monkeypatch.setattr("audio.microphone.load_portaudio", lambda: fake)
    monkeypatch.setattr(capture_child, "load_portaudio", lambda: fake)
    return fake


def test_every_input_is_surveyed_with_the_rates_that_open(portaudio: OpeningPortAudio) -> None:
    portaudio.add("USB (hw:1,0)", 2, 44100, {(44100, 2), (48000, 2), (96000, 2)})
    portaudio.add("Webcam (hw:2,0)", 1, 16000, {(16000, 1)})
    assert capture_child.survey(AudioSettings(device="usb")) == Inputs(
        found=(
            FoundInput(name="USB (hw:1,0)", own_hz=44100, channels=2, rates_hz=(48000, 44100), is_busy=False,
                       is_default=False),
            FoundInput(name="Webcam (hw:2,0)", own_hz=16000, channels=1, rates_hz=(16000,), is_busy=False,
                       is_default=True),
        ),
        taken=Taken(position=0, rate_hz=48000),
        reason=None,
    )  # fmt: skip


def test_a_busy_input_is_told_as_busy_and_not_taken(portaudio: OpeningPortAudio) -> None:
    portaudio.add("USB (hw:1,0)", 1, 48000, {(48000, 1)})
    portaudio.busy = {1}
    inputs = capture_child.survey(AudioSettings())
    assert inputs.found[0].is_busy
    assert inputs.found[0].rates_hz == ()
    assert inputs.taken is None
    assert inputs.reason == "the microphone 'USB (hw:1,0)' is in use by another program"
    with pytest.raises(MicrophoneBusyError, match="in use by another program"):
        capture_child.choose(Open(settings=AudioSettings()))


def test_all_channels_are_opened_but_not_those_of_a_converter(portaudio: OpeningPortAudio) -> None:
    portaudio.add("Array (hw:1,0)", 4, 16000, {(16000, 1), (16000, 4)})
    portaudio.add("default", 64, 48000, {(48000, n) for n in range(1, 65)})
    array = AudioSettings(device="Array")
    assert capture_child.choose(Open(settings=array)).channels == 1
    assert capture_child.choose(Open(settings=array, all_channels=True)).channels == 4
    converter = AudioSettings(device="default")
    assert capture_child.choose(Open(settings=converter, all_channels=True)).channels == 1


def test_a_rate_that_does_not_open_is_refused_with_one_that_does(portaudio: OpeningPortAudio) -> None:
    portaudio.add("Webcam", 1, 16000, {(16000, 1), (44100, 1)})
    assert capture_child.choose(Open(settings=AudioSettings(device="Webcam"), rate_hz=44100)).rate_hz == 44100
    with pytest.raises(MicrophoneError, match="'Webcam' does not open at 48000 Hz; it opens at 16000 Hz"):
        capture_child.choose(Open(settings=AudioSettings(device="Webcam"), rate_hz=48000))


@contextmanager
def capturing(microphone: SimulatedMicrophone, **options: Any) -> Iterator[Capture]:
    with Capture(SETTINGS, environment={**os.environ, **microphone.environment()}, **options) as capture:
        yield capture


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.servers
def test_the_simulated_microphone_is_surveyed(microphone: SimulatedMicrophone) -> None:
    inputs = survey(SETTINGS, environment={**os.environ, **microphone.environment()})
    assert inputs.taken == Taken(position=0, rate_hz=16000)
    assert inputs.found == (
        FoundInput(name=DEVICE_NAME, own_hz=16000, channels=1, rates_hz=(16000,), is_busy=False, is_default=True),
    )


@pytest.mark.servers
def test_sound_comes_in_blocks_with_times_and_the_process_ends_with_it(microphone: SimulatedMicrophone) -> None:
    with capturing(microphone) as capture:
        assert capture.microphone == Opened(name=DEVICE_NAME, rate_hz=16000, channels=1)
        pid = capture._process._process.pid
        blocks = [block for block, _ in zip(capture.blocks(), range(20), strict=False)]
    assert is_gone(pid)
    assert {len(block.samples) for block in blocks} == {960}
    times_s = [block.at_s for block in blocks]
    assert times_s == sorted(times_s)


@pytest.mark.servers
def test_a_loss_of_sound_is_told(microphone: SimulatedMicrophone) -> None:
    with capturing(microphone) as capture:
        blocks = capture.blocks()
        next(blocks)
        microphone.overrun()
        assert any(block.overflowed for block, _ in zip(blocks, range(200), strict=False))


@pytest.mark.servers
@pytest.mark.parametrize("fault", ["unplug", "unplug_as_overrun", "stall"])
def test_a_microphone_that_goes_away_is_told_in_a_sentence(microphone: SimulatedMicrophone, fault: str) -> None:
    with capturing(microphone) as capture:
        blocks = capture.blocks()
        next(blocks)
        getattr(microphone, fault)()
        with pytest.raises(MicrophoneError, match="unplugged"):
            for _ in blocks:
                pass


@pytest.mark.servers
def test_a_process_that_dies_is_told_in_a_sentence(microphone: SimulatedMicrophone) -> None:
    with capturing(microphone) as capture:
        os.kill(capture._process._process.pid, signal.SIGKILL)
        with pytest.raises(MicrophoneError, match="the sound system failed"):
            for _ in capture.blocks():
                pass


@pytest.mark.servers
def test_a_process_that_never_answers_is_given_up(
    microphone: SimulatedMicrophone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_module, "_COMMAND", ("sleep", "60"))
    monkeypatch.setattr(capture_module, "START_S", 0.1)
    with pytest.raises(MicrophoneError, match="does not answer"), capturing(microphone):
        pass
    with pytest.raises(MicrophoneError, match="does not answer"):
        survey(SETTINGS)


@pytest.mark.servers
def test_the_process_ends_when_its_parent_is_gone(microphone: SimulatedMicrophone) -> None:
    with capturing(microphone) as capture:
        process = capture._process._process
        assert process.stdin is not None
        process.stdin.close()
        wait_until(lambda: process.poll() is not None)
