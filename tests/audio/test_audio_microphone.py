import time
from array import array
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio import microphone, naming
from audio.microphone import Microphone, MicrophoneError, find_microphone, pick_channel
from audio.mixing import mean_of_channels
from audio.settings import AudioSettings, Channel
from audio.sound_cards import SoundCard
from demo.microphone import BuildError, SimulatedMicrophone, build
from tests.audio.conftest import running_ear, wait_until

PNP = "USB PnP Sound Device: Audio (hw:{},0)"
JABRA = "Jabra SPEAK 410 USB: Audio (hw:{},0)"
RATES_HZ = [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000]


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
    monkeypatch.setattr(microphone, "load_portaudio", lambda: fake)
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


@pytest.mark.parametrize(("pnp_card", "jabra_card"), [(1, 2), (2, 1), (5, 3)])
def test_the_name_that_the_list_shows_means_the_same_device_whatever_the_cards_numbers_are(
    portaudio: FakePortAudio, pnp_card: int, jabra_card: int
) -> None:
    shown = naming.setting([PNP.format(1), JABRA.format(2)], 1)
    assert shown is not None
    names = {pnp_card: PNP.format(pnp_card), jabra_card: JABRA.format(jabra_card)}
    for card in sorted(names):
        portaudio.add(names[card], 1, 16000, {(16000, 1)})
    assert find_microphone(AudioSettings(device=shown)).name == JABRA.format(jabra_card)


@pytest.mark.parametrize("front_card", [1, 2])
def test_of_two_with_one_name_the_usb_socket_tells_which(portaudio: FakePortAudio, front_card: int) -> None:
    cards = [
        SoundCard(front_card, "USB PnP Sound Device", "usb-0000:01:00.0-1.3", ()),
        SoundCard(3 - front_card, "USB PnP Sound Device", "usb-0000:01:00.0-1.4", ()),
        SoundCard(0, "bcm2835 Headphones", None, ()),
    ]
    for card in (1, 2):
        portaudio.add(PNP.format(card), 1, 16000, {(16000, 1)})
    settings = AudioSettings(device="USB-0000:01:00.0-1.3")
    assert find_microphone(settings, lambda: cards).name == PNP.format(front_card)
    with pytest.raises(MicrophoneError, match="no microphone is called"):
        find_microphone(settings, lambda: cards[1:])


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
    portaudio.able[1] |= {(16000, 2)}
    assert find_microphone(AudioSettings(channel=1)).channels == 2


def test_a_channel_too_many_is_told(portaudio: FakePortAudio) -> None:
    portaudio.add("Webcam", 2, 16000, {(16000, 2)})
    with pytest.raises(MicrophoneError, match=r"'Webcam' has 2 channel\(s\), and channel 3 is asked for"):
        find_microphone(AudioSettings(channel=3))


def test_a_device_that_nothing_opens_is_told_with_portaudios_reason(portaudio: FakePortAudio) -> None:
    portaudio.add("Webcam", 1, 16000, set())
    with pytest.raises(MicrophoneError, match="'Webcam' cannot be opened: Invalid sample rate"):
        find_microphone(AudioSettings())


@given(
    able=st.sets(st.tuples(st.sampled_from(RATES_HZ), st.integers(1, 8)), min_size=1),
    own_hz=st.sampled_from(RATES_HZ),
    channel=st.integers(1, 8) | st.just("mix"),
)
def test_whatever_opens_is_found_and_has_the_channel(able: set[tuple[int, int]], own_hz: int, channel: Channel) -> None:
    fake = FakePortAudio()
    most = max(channels for _, channels in able)
    fake.add("Any", most, own_hz, able)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(microphone, "load_portaudio", lambda: fake)
        try:
            found = find_microphone(AudioSettings(channel=channel))
        except MicrophoneError:
            # Devices do one number of channels, or any up to their most; of others not all numbers are tried.
            tried = {1, 2, most} if channel == "mix" else {channel, max(2, channel), most}
            assert (channel != "mix" and channel > most) or not any(
                rate_hz in {*microphone.GOOD_RATES_HZ, own_hz} and channels in tried for rate_hz, channels in able
            )
        else:
            assert (found.rate_hz, found.channels) in able
            assert channel == "mix" or found.channels >= channel


@pytest.mark.parametrize(
    ("most", "able", "opened"), [(6, {1, 2, 6}, 6), (6, {2}, 2), (1, {1}, 1), (128, {1, 2, 128}, 2)]
)
def test_a_mix_is_of_all_channels_but_not_of_dozens(
    portaudio: FakePortAudio, most: int, able: set[int], opened: int
) -> None:
    portaudio.add("Array", most, 16000, {(16000, channels) for channels in able})
    assert find_microphone(AudioSettings(channel="mix")).channels == opened


@pytest.mark.parametrize("text", ['{"channel":0}', '{"channel":33}', '{"channel":"all"}', '{"channel":1.5}'])
def test_what_is_no_channel_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="channel"):
        msgspec.json.decode(text, type=AudioSettings)


def test_one_channel_is_picked_out_of_several() -> None:
    frames = array("h", [1, 2, 3, 11, 12, 13, 21, 22, 23]).tobytes()
    assert array("h", pick_channel(frames, 3, 2)).tolist() == [2, 12, 22]
    assert pick_channel(frames, 1, 1) == frames


def test_a_mix_is_the_mean_of_all_channels() -> None:
    frames = array("h", [100, 200, 600, -100, -200, 0, 32767, 32767, 32767, -32768, -32768, -32768]).tobytes()
    assert array("h", pick_channel(frames, 3, "mix")).tolist() == [300, -100, 32767, -32767]
    assert pick_channel(frames, 1, "mix") == frames
    assert pick_channel(b"", 3, "mix") == b""


@given(st.integers(1, 32), st.binary(max_size=640), st.sampled_from([0x00, 0xFF, 0x7F, 0x80]))
def test_a_mix_is_right_to_half_a_step_in_silence_and_never_leaves_the_range(
    channels: int, data: bytes, filling: int
) -> None:
    """What is left over of a frame is left out. A part of one value checks the ends of the range."""
    samples = array("h", data[: len(data) & ~1] + bytes([filling]) * 64)
    mixed = array("h", mean_of_channels(samples.tobytes(), channels))
    whole = len(samples) // channels if channels > 1 else len(samples)
    assert len(mixed) == whole
    for index, mean in enumerate(mixed):
        exact = sum(samples[index * channels : (index + 1) * channels]) / channels
        assert abs(mean - exact) <= 0.5001 + abs(exact) * channels / 65536


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_block_of_every_rate_and_number_of_channels_is_mixed(rate_hz: int, channels: int) -> None:
    frames = rate_hz * 30 // 1000
    voice = array("h", [(i * 37) % 20000 - 10000 for i in range(frames)])
    interleaved = array("h", [value for value in voice for _ in range(channels)])
    mixed = array("h", pick_channel(interleaved.tobytes(), channels, "mix"))
    assert max(abs(a - b) for a, b in zip(mixed, voice, strict=True)) <= 1
    assert array("h", pick_channel(interleaved.tobytes(), channels, channels)) == voice


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
