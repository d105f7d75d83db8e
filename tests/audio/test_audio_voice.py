import math
from array import array

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from audio.voice import FRAME_MS, Frame, VoiceDetector
from benchmarks.speech_activity_scenes import demonstration_speech
from benchmarks.speech_mixing import pcm

RATES_HZ = (8000, 11025, 16000, 22050, 32000, 44100, 48000)
MODE = 2


def sine(rate_hz: int, hz: float, length_s: float = 1.0) -> bytes:
    count = round(rate_hz * length_s)
    return array("h", [round(10000 * math.sin(2 * math.pi * hz * i / rate_hz)) for i in range(count)]).tobytes()


def frames(rate_hz: int, sound: bytes) -> list[Frame]:
    return list(VoiceDetector(rate_hz, MODE).frames(sound))


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_frames_are_of_thirty_milliseconds_at_every_rate(rate_hz: int) -> None:
    heard = frames(rate_hz, sine(rate_hz, 300.0))
    assert len(heard) == 33
    assert all(each.length_s == pytest.approx(FRAME_MS / 1000, rel=0.003) for each in heard)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_levels_do_not_depend_on_the_rate(rate_hz: int) -> None:
    for each in frames(rate_hz, sine(rate_hz, 300.0)):
        assert each.level.dbfs == pytest.approx(-13.3, abs=0.1)
        assert each.low_dbfs == pytest.approx(-13.6, abs=0.2)
        assert each.level.peak == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_silence_is_no_voice_and_speech_is_one(rate_hz: int) -> None:
    speech = demonstration_speech()[0]
    stretched = array("h", pcm(speech.samples))
    if rate_hz != 16000:  # by the nearest sample, which is good enough for a detector
        count = len(stretched) * rate_hz // 16000
        stretched = array("h", [stretched[i * 16000 // rate_hz] for i in range(count)])
    heard = frames(rate_hz, stretched.tobytes())
    first, last = round(speech.start_s * 1000 / FRAME_MS), round(speech.end_s * 1000 / FRAME_MS)
    assert not any(each.voiced for each in heard[: first - 1])
    assert sum(each.voiced for each in heard[first:last]) > 0.8 * (last - first)


@hypothesis_settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=12), st.sampled_from(RATES_HZ))
def test_frames_are_the_same_however_the_sound_arrives(cuts: list[int], rate_hz: int) -> None:
    sound = sine(rate_hz, 440.0, 0.4)
    detector = VoiceDetector(rate_hz, MODE)
    heard: list[Frame] = []
    start = 0
    for cut in cuts:
        heard += detector.frames(sound[start : start + 2 * cut])
        start += 2 * cut
    heard += detector.frames(sound[start:])
    assert heard == frames(rate_hz, sound)
