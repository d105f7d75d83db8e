from array import array

from hypothesis import given, settings
from hypothesis import strategies as st

from audio.resample import Interpolator, averaged


@settings(max_examples=50)
@given(st.lists(st.integers(-32768, 32767), max_size=300), st.lists(st.integers(1, 50), min_size=1, max_size=10))
def test_the_converted_sound_does_not_depend_on_how_it_arrived(samples: list[int], cuts: list[int]) -> None:
    whole = Interpolator(11025, 16000).convert(array("h", samples).tobytes())
    converter, pieces, start = Interpolator(11025, 16000), b"", 0
    for cut in cuts:
        pieces += converter.convert(array("h", samples[start : start + cut]).tobytes())
        start += cut
    pieces += converter.convert(array("h", samples[start:]).tobytes())
    assert pieces == whole


def test_doubling_the_rate_puts_the_mean_between_two_samples() -> None:
    converted = array("h", Interpolator(8000, 16000).convert(array("h", [0, 100, 50]).tobytes()))
    assert converted.tolist() == [0, 50, 100, 75]


def test_a_second_at_any_lower_rate_becomes_a_second() -> None:
    for rate_hz in (8000, 11025, 12000):
        converted = Interpolator(rate_hz, 16000).convert(bytes(2 * (rate_hz + 1)))
        assert abs(len(converted) // 2 - 16000) <= 2


def test_fewer_samples_are_the_means_of_their_shares() -> None:
    assert averaged(array("h", [0, 10, 20, 30]), 2).tolist() == [5, 25]
    assert len(averaged(array("h", range(1323)), 240)) == 240
