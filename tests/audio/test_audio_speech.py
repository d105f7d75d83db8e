from collections.abc import Iterable

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from audio.level import Loudness
from audio.settings import AudioSettings
from audio.speech import FRAMES_TO_START, Phase, Sign, SpeechState, step
from audio.voice import Frame

FRAME_S = 0.03
SETTINGS = AudioSettings(pause_s=0.6, nothing_said_s=2.0)


def frame(dbfs: float, *, voiced: bool = True) -> Frame:
    return Frame(FRAME_S, voiced, Loudness(dbfs, 0.1))


def speech(frames: int, dbfs: float = -30.0) -> list[Frame]:
    """Sound whose level moves as that of syllables does."""
    return [frame(dbfs + (0, -4, -9, -2)[i % 4]) for i in range(frames)]


def silence(frames: int) -> list[Frame]:
    return [frame(-75.0, voiced=False)] * frames


def run(frames: Iterable[Frame], start: SpeechState | None = None) -> tuple[SpeechState, list[tuple[Sign, float]]]:
    state, signs = start or SpeechState(), []
    for each in frames:
        state, sign = step(state, each, SETTINGS)
        if sign is not None:
            signs.append((sign, round(state.at_s, 2)))
    return state, signs


def kinds(frames: Iterable[Frame]) -> list[Sign]:
    return [sign for sign, _ in run(frames)[1]]


def test_speech_and_then_a_pause_give_a_start_and_an_end() -> None:
    assert kinds([*silence(20), *speech(30), *silence(30)]) == [Sign.STARTED, Sign.ENDED]


def test_the_start_is_dated_back_to_the_first_frame_of_speech() -> None:
    state, signs = run([*silence(20), *speech(30)])
    assert signs[0][1] > 0.65
    assert state.started_s is not None
    assert abs(state.started_s - 0.6) < 0.001


def test_speech_in_the_preroll_has_a_negative_start() -> None:
    state, _ = run(speech(20), SpeechState(at_s=-0.5))
    assert state.started_s is not None
    assert abs(state.started_s + 0.5) < 0.001


def test_the_end_comes_one_pause_after_the_last_speech() -> None:
    _, signs = run([*speech(30), *silence(40)])
    assert signs[-1] == (Sign.ENDED, round(30 * FRAME_S + SETTINGS.pause_s, 2))


def test_a_gap_shorter_than_the_pause_ends_nothing() -> None:
    assert kinds([*speech(30), *silence(15), *speech(30)]) == [Sign.STARTED]


def test_speech_that_goes_on_after_an_end_can_end_again() -> None:
    frames = [*speech(30), *silence(30), *speech(30), *silence(30)]
    assert kinds(frames) == [Sign.STARTED, Sign.ENDED, Sign.ENDED]


def test_a_knock_is_not_speech() -> None:
    assert kinds([*silence(20), *speech(FRAMES_TO_START - 1, -5.0), *silence(30)]) == []


def test_a_knock_in_a_pause_does_not_prolong_it() -> None:
    frames = [*speech(30), *silence(10), frame(-8.0), *silence(30)]
    _, signs = run(frames)
    assert signs[-1] == (Sign.ENDED, round(30 * FRAME_S + SETTINGS.pause_s, 2))


def test_a_tone_is_not_speech_though_the_detector_says_so() -> None:
    assert kinds([*silence(20), frame(-26.0), *[frame(-15.0)] * 40, frame(-24.0), *silence(10)]) == [Sign.NOTHING_SAID]


def test_sound_below_the_silence_level_is_not_speech() -> None:
    assert kinds([*speech(60, SETTINGS.silence_dbfs - 1.0)]) == []


def test_people_in_the_background_do_not_prolong_a_visit() -> None:
    assert kinds([*speech(60, -25.0), *speech(60, -52.0)]) == [Sign.STARTED, Sign.ENDED]


def test_nothing_said_comes_once_and_speech_may_still_follow() -> None:
    assert kinds([*silence(200), *speech(30), *silence(30)]) == [Sign.NOTHING_SAID, Sign.STARTED, Sign.ENDED]


def test_the_length_of_speech_is_counted_without_the_silence() -> None:
    state, _ = run([*silence(20), *speech(30), *silence(30)])
    assert abs(state.speech_s - 30 * FRAME_S) < 0.001


frames_strategy = st.lists(
    st.builds(lambda dbfs, voiced: frame(dbfs, voiced=voiced), st.floats(-96, 0), st.booleans()), max_size=300
)


@hypothesis_settings(max_examples=60)
@given(frames_strategy)
def test_whatever_is_heard_the_signs_come_in_an_order_that_makes_sense(frames: list[Frame]) -> None:
    state, signs = run(frames)
    order = [sign for sign, _ in signs]
    assert order.count(Sign.STARTED) <= 1
    assert order.count(Sign.NOTHING_SAID) <= 1
    if Sign.STARTED not in order:
        assert state.phase is Phase.WAITING
        assert Sign.ENDED not in order
        assert state.speech_s == 0
    else:
        before = order[: order.index(Sign.STARTED)]
        after = order[order.index(Sign.STARTED) :]
        assert set(before) <= {Sign.NOTHING_SAID}
        assert Sign.NOTHING_SAID not in after
        assert 0 < state.speech_s <= state.at_s + 0.001
