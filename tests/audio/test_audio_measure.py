"""The arithmetic of a microphone's test, on sounds that are computed."""

import math
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.level import FULL_SCALE
from audio.measure import HARMONICS, UNSEEN_DRIFT_S, Arrivals, ChannelMeasure, ChannelMeter, dbfs, tone_power

BLOCK_S = 0.03


def sine(tone_hz: float, amplitude: float, rate_hz: int, seconds: float = 2.0) -> list[float]:
    return [amplitude * math.sin(2 * math.pi * tone_hz * i / rate_hz + 0.7) for i in range(int(rate_hz * seconds))]


def noise(amplitude: float, rate_hz: int, seconds: float = 2.0, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [rng.uniform(-amplitude, amplitude) for _ in range(int(rate_hz * seconds))]


def measured(samples: list[float], rate_hz: int) -> ChannelMeasure:
    meter = ChannelMeter(1, rate_hz)
    values = array("h", [max(-32768, min(32767, round(sample * FULL_SCALE))) for sample in samples])
    size = round(rate_hz * BLOCK_S)
    for start in range(0, len(values), size):
        meter.add(values[start : start + size])
    result = meter.measure()
    assert result is not None
    return result


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
def test_the_level_of_noise_is_measured(rate_hz: int) -> None:
    result = measured(noise(0.01, rate_hz), rate_hz)
    assert result.noise_dbfs == pytest.approx(20 * math.log10(0.01 / math.sqrt(3)), abs=0.3)
    assert result.peak == pytest.approx(0.01, rel=0.02)
    assert result.clipped == 0
    assert not result.is_dead


def test_an_offset_is_measured_and_is_no_noise() -> None:
    result = measured([0.05 + sample for sample in noise(0.001, 16000)], 16000)
    assert result.dc == pytest.approx(0.05, abs=0.0002)
    assert result.noise_dbfs == pytest.approx(-64.8, abs=0.3)


def test_hum_is_no_offset() -> None:
    square = [0.005 if i // 160 % 2 else -0.005 for i in range(32000)]
    result = measured(square, 16000)
    assert abs(result.dc) < 0.0003
    assert result.noise_dbfs == pytest.approx(-46, abs=0.2)


def test_a_knock_does_not_lift_the_noise_floor() -> None:
    samples = noise(0.001, 16000)
    samples[16000:18000] = noise(0.8, 16000, 0.125)
    assert measured(samples, 16000).noise_dbfs == pytest.approx(-64.8, abs=0.5)


def test_samples_at_full_scale_are_counted_on_either_side() -> None:
    samples = noise(0.01, 16000)
    samples[100:103] = [1.0, -1.0, 0.995]
    result = measured(samples, 16000)
    assert result.clipped == 3
    assert result.peak == 1.0


@pytest.mark.parametrize("value", [0.0, 0.25, -1.0])
def test_a_channel_that_never_changes_is_dead(value: float) -> None:
    result = measured([value] * 16000, 16000)
    assert result.is_dead
    assert result.hum is None


def test_the_faintest_noise_is_no_dead_channel() -> None:
    assert not measured(noise(4 / FULL_SCALE, 16000), 16000).is_dead


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
@pytest.mark.parametrize("mains_hz", [50, 60])
@pytest.mark.parametrize("off_hz", [-0.4, 0.0, 0.4])
def test_hum_is_found_at_its_frequency_with_its_share(rate_hz: int, mains_hz: int, off_hz: float) -> None:
    tone = sine(mains_hz + off_hz, 0.01, rate_hz)
    samples = [a + b for a, b in zip(tone, noise(0.01, rate_hz), strict=True)]
    hum = measured(samples, rate_hz).hum
    assert hum is not None
    assert hum.mains_hz == mains_hz
    assert hum.dbfs == pytest.approx(dbfs(0.01**2 / 2), abs=0.6)
    assert hum.share == pytest.approx(0.6, abs=0.1)  # a sine has 1/2 of its amplitude's square, this noise 1/3


def test_hum_of_the_second_and_third_harmonic_counts() -> None:
    samples = [a + b for a, b in zip(sine(100, 0.01, 16000), sine(150, 0.01, 16000), strict=True)]
    hum = measured(samples, 16000).hum
    assert hum is not None
    assert hum.mains_hz == 50
    assert hum.share == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("harmonic", HARMONICS)
def test_a_tone_is_as_strong_as_before_the_rate_was_brought_down(harmonic: int) -> None:
    samples = sine(50 * harmonic, 1.0, 48000, 1.0)
    slow = [sum(samples[i : i + 48]) / 48 for i in range(0, 48000, 48)]
    assert tone_power(slow, 1000, 50 * harmonic, len(slow)) == pytest.approx(0.5, rel=0.002)


def test_noise_and_a_voice_are_no_hum() -> None:
    for samples in (noise(0.01, 16000), sine(220, 0.1, 16000)):
        hum = measured(samples, 16000).hum
        assert hum is not None
        assert hum.share < 0.02


def test_too_little_sound_says_nothing_of_hum() -> None:
    assert measured(noise(0.01, 16000, 0.3), 16000).hum is None


def test_no_sound_is_no_measurement() -> None:
    meter = ChannelMeter(1, 16000)
    meter.add(array("h"))
    assert meter.measure() is None
    assert Arrivals().timing() is None


@given(st.sampled_from([8000, 16000, 44100, 48000]), st.floats(0.8, 1.25), st.integers(0, 2**32))
def test_the_rate_is_found_although_blocks_come_late(rate_hz: int, factor: float, seed: int) -> None:
    rng = random.Random(seed)
    arrivals = Arrivals()
    frames = round(rate_hz * BLOCK_S)
    for number in range(200):
        late_s = 0.1 * rng.random() if rng.random() < 0.2 else 0.002 * rng.random()
        arrivals.add(1000 + number * frames / (rate_hz * factor) + late_s, frames, overflowed=False)
    timing = arrivals.timing()
    assert timing is not None
    assert abs(timing.rate_hz - rate_hz * factor) <= timing.rate_error_hz
    assert timing.rate_error_hz - timing.rate_hz * UNSEEN_DRIFT_S / timing.seconds < 0.03 * rate_hz


@pytest.mark.parametrize("burst_s", [0.04, 0.064, 0.1])
@pytest.mark.parametrize("start_s", [0.0, 0.013, 0.029])
def test_bursts_of_blocks_are_within_the_doubt_that_is_told(burst_s: float, start_s: float) -> None:
    arrivals = Arrivals()
    for number in range(170):
        arrivals.add(math.ceil((number * BLOCK_S + start_s) / burst_s) * burst_s, 480, overflowed=False)
    timing = arrivals.timing()
    assert timing is not None
    assert 0 < abs(timing.rate_hz - 16000) <= timing.rate_error_hz < 0.03 * 16000


def test_an_even_stream_leaves_the_doubt_of_what_no_regression_shows() -> None:
    arrivals = Arrivals()
    for number in range(100):
        arrivals.add(5 + number * BLOCK_S, 1323, overflowed=False)
    timing = arrivals.timing()
    assert timing is not None
    assert timing.rate_hz == pytest.approx(44100)
    assert timing.rate_error_hz == pytest.approx(44100 * UNSEEN_DRIFT_S / timing.seconds, rel=0.01)


@pytest.mark.parametrize("seconds", [3, 10])
@pytest.mark.parametrize("late_s", [0.03, -0.03])
def test_blocks_that_are_late_by_one_from_the_middle_on_are_within_the_doubt_that_is_told(
    seconds: int, late_s: float
) -> None:
    arrivals = Arrivals()
    blocks = round(seconds / BLOCK_S)
    for number in range(blocks):
        arrivals.add(5 + number * BLOCK_S + (late_s if number >= blocks // 2 else 0.0), 420, overflowed=False)
    timing = arrivals.timing()
    assert timing is not None
    assert 0.04 / seconds < abs(timing.rate_hz / 14000 - 1) <= timing.rate_error_hz / 14000 < 0.05 / seconds


@pytest.mark.parametrize("grown_s", [0.0015, -0.0015])
def test_a_machine_that_grows_busier_evenly_is_within_the_doubt_that_is_told(grown_s: float) -> None:
    arrivals = Arrivals()
    for number in range(100):
        arrivals.add(5 + number * BLOCK_S + grown_s * number / 100, 420, overflowed=False)
    timing = arrivals.timing()
    assert timing is not None
    assert 5 < abs(timing.rate_hz - 14000) <= timing.rate_error_hz


def test_losses_and_the_longest_wait_are_told() -> None:
    arrivals = Arrivals()
    for at_s, overflowed in ((0.0, False), (0.03, False), (0.53, True), (0.56, False)):
        arrivals.add(at_s, 480, overflowed=overflowed)
    timing = arrivals.timing()
    assert timing is not None
    assert timing.overflows == 1
    assert timing.longest_gap_s == pytest.approx(0.5)
    assert timing.seconds == pytest.approx(0.56)


def test_blocks_that_all_come_at_once_say_nothing_of_the_rate() -> None:
    arrivals = Arrivals()
    for _ in range(5):
        arrivals.add(7.0, 480, overflowed=False)
    timing = arrivals.timing()
    assert timing is not None
    assert timing.rate_error_hz == math.inf
