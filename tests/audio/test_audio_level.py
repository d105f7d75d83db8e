import math
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.level import FLOOR_DBFS, SILENCE, Loudness, loudness, together


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


def test_several_stretches_together_have_their_mean_power_and_highest_peak() -> None:
    both = together([Loudness(-20.0, 0.3), Loudness(FLOOR_DBFS, 0.5)])
    assert both.dbfs == pytest.approx(-23.01, abs=0.01)
    assert both.peak == 0.5
    assert together([]) == SILENCE
