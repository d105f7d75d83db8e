import math
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.level import FLOOR_DBFS, SILENCE, Loudness, loudness, together, two_levels


def sine(amplitude: int, hz: float = 440.0, samples: int = 4800) -> bytes:
    return array("h", [round(amplitude * math.sin(2 * math.pi * hz * i / 16000)) for i in range(samples)]).tobytes()


def test_a_sine_of_full_scale_has_minus_three_decibels() -> None:
    level = loudness(sine(32767))
    assert level.dbfs == pytest.approx(-3.01, abs=0.02)
    assert level.peak == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("amplitude", [300, 3000, 30000])
def test_ten_times_the_amplitude_is_twenty_decibels_more(amplitude: int) -> None:
    assert loudness(sine(amplitude)).dbfs == pytest.approx(-3.01 + 20 * math.log10(amplitude / 32768), abs=0.02)


def test_digital_silence_and_no_sound_are_at_the_floor() -> None:
    assert loudness(bytes(960)) == SILENCE
    assert loudness(b"") == SILENCE


def test_the_most_negative_sample_is_a_peak_of_one() -> None:
    level = loudness(array("h", [-32768] * 480).tobytes())
    assert level.peak == 1.0
    assert level.dbfs == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=50)
@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=600))
def test_any_sound_has_a_level_within_bounds(samples: list[int]) -> None:
    level = loudness(array("h", samples).tobytes())
    assert FLOOR_DBFS <= level.dbfs <= 0.0
    assert 0.0 <= level.peak <= 1.0


@pytest.mark.parametrize(("hz", "less_db"), [(200.0, 0.1), (500.0, 0.7), (1000.0, 3.0), (1500.0, 8.3)])
def test_low_tones_count_and_higher_ones_count_less(hz: float, less_db: float) -> None:
    level, low_dbfs = two_levels(sine(20000, hz), 4)
    assert level.dbfs == pytest.approx(loudness(sine(20000, hz)).dbfs, abs=0.05)
    assert level.dbfs - low_dbfs == pytest.approx(less_db, abs=0.1)


def test_clatter_has_no_low_tones() -> None:
    level, low_dbfs = two_levels(sine(20000, 2050.0), 4)
    assert level.dbfs == pytest.approx(-7.3, abs=0.1)
    assert low_dbfs < -30.0


def test_an_offset_is_no_low_tone() -> None:
    offset = array("h", [3000] * 480).tobytes()
    level, low_dbfs = two_levels(offset, 4)
    assert level.dbfs == pytest.approx(20 * math.log10(3000 / 32768), abs=0.01)
    assert low_dbfs == FLOOR_DBFS


@pytest.mark.parametrize("sign", [1, -1])
def test_clipped_speech_has_a_peak_of_one_on_either_side(sign: int) -> None:
    clipped = array("h", [sign * 32767 if i % 100 < 20 else -sign * 3000 for i in range(480)])
    assert two_levels(clipped.tobytes(), 4)[0].peak == pytest.approx(1.0, abs=0.001)


@settings(max_examples=100)
@given(st.lists(st.integers(-32768, 32767), max_size=600), st.integers(1, 12))
def test_both_levels_of_any_sound_are_the_mean_squares_that_they_are_said_to_be(values: list[int], stride: int) -> None:
    level, low_dbfs = two_levels(array("h", values).tobytes(), stride)
    looked_at = values[::stride]
    pairs = list(zip(looked_at[::2], looked_at[1::2], strict=False))
    assert FLOOR_DBFS <= low_dbfs <= level.dbfs + 0.001
    if not pairs:
        assert (level, low_dbfs) == (SILENCE, FLOOR_DBFS)
        return
    offset = sum(left for left, _ in pairs[::2]) / len(pairs[::2])
    power = sum(left**2 + right**2 for left, right in pairs) / (2 * len(pairs))
    low_power = sum(((left + right) / 2) ** 2 for left, right in pairs) / len(pairs) - offset**2
    assert 10 ** (level.dbfs / 10) == pytest.approx(power / 32768**2, rel=1e-6, abs=1e-9)
    assert 10 ** (low_dbfs / 10) == pytest.approx(max(0.0, low_power) / 32768**2, rel=1e-6, abs=1e-9)
    assert 0.0 <= level.peak <= 1.0


def test_several_stretches_together_have_their_mean_power_and_highest_peak() -> None:
    both = together([Loudness(-20.0, 0.3), Loudness(FLOOR_DBFS, 0.5)])
    assert both.dbfs == pytest.approx(-23.01, abs=0.01)
    assert both.peak == 0.5
    assert together([]) == SILENCE
