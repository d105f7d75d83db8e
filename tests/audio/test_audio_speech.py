from collections.abc import Iterable

import msgspec
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from audio.background import BLOCK_FRAMES, BLOCKS, Background, Floor
from audio.level import Loudness
from audio.settings import AudioSettings
from audio.speech import FRAMES_TO_START, SHORT_S, Phase, Sign, SpeechState, beginning, step, with_word
from audio.voice import Frame

FRAME_S = 0.03
SETTINGS = AudioSettings(pause_s=0.6, nothing_said_s=2.0)


def frame(dbfs: float, *, voiced: bool = True) -> Frame:
    return Frame(FRAME_S, voiced, Loudness(dbfs, 0.1), dbfs)


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


def kinds(frames: Iterable[Frame], start: SpeechState | None = None) -> list[Sign]:
    return [sign for sign, _ in run(frames, start)[1]]


def noise(frames: int, dbfs: float) -> list[Frame]:
    """Noise that WebRTC's detector takes for speech, and that moves a little."""
    return [frame(dbfs + (0.0, -1.6, 0.8, -2.4)[i % 4]) for i in range(frames)]


def shop(loud_dbfs: float, headroom_db: float = 3.0) -> SpeechState:
    """A visit to a shop of this loudness."""
    blocks = (loud_dbfs - headroom_db,) * BLOCKS
    return beginning(Background(loud_dbfs, loud_dbfs - 1.0, headroom_db, Floor(blocks, dbfs=blocks[0])), 0.0)


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


def test_what_is_no_louder_than_the_shop_is_not_speech() -> None:
    assert kinds(noise(200, -32.0), shop(-30.0)) == [Sign.NOTHING_SAID]
    assert kinds(noise(10, -32.0), shop(-50.0)) == [Sign.STARTED]


def test_a_visitor_who_is_louder_than_the_shop_is_heard_from_start_to_end() -> None:
    state, signs = run([*noise(30, -42.0), *speech(30, -25.0), *noise(60, -42.0)], shop(-40.0))
    assert [sign for sign, _ in signs] == [Sign.STARTED, Sign.ENDED]
    assert abs(signs[1][1] - 60 * FRAME_S - SETTINGS.pause_s) < 0.04
    assert state.started_s is not None
    assert abs(state.started_s - 30 * FRAME_S) < 0.001


def test_people_nearer_to_the_shop_than_to_the_visitor_do_not_prolong_a_visit() -> None:
    assert kinds([*speech(60, -20.0), *speech(60, -35.0)], shop(-40.0)) == [Sign.STARTED, Sign.ENDED]
    assert kinds([*speech(60, -20.0), *speech(60, -26.0)], shop(-40.0)) == [Sign.STARTED]


def test_people_far_below_the_visitor_do_not_prolong_a_visit_though_the_shop_is_quiet() -> None:
    assert kinds([*speech(60, -25.0), *speech(60, -50.0)], shop(-75.0)) == [Sign.STARTED, Sign.ENDED]
    assert kinds([*speech(60, -25.0), *speech(60, -44.0)], shop(-75.0)) == [Sign.STARTED]


def test_a_noise_that_starts_in_a_visit_raises_what_counts_as_speech() -> None:
    frames = [*silence(20), *noise(BLOCKS * BLOCK_FRAMES, -45.0)]
    state, _ = run(frames, shop(-70.0))
    assert state.background.level_dbfs(state.floor) > -46.0
    assert kinds([*speech(30, -25.0), *noise(60, -45.0)], state)[-1] is Sign.ENDED


def test_speech_hardly_louder_than_the_shop_need_not_move_much() -> None:
    def calm(dbfs: float) -> list[Frame]:
        return [frame(dbfs + (0.0, -0.5, 0.3, -0.8)[i % 4]) for i in range(20)]

    assert kinds(calm(-38.0), shop(-40.0)) == [Sign.STARTED]
    assert kinds(calm(-18.0), shop(-40.0)) == []


def test_more_is_asked_of_speech_where_the_settings_ask_for_more() -> None:
    strict = msgspec.structs.replace(SETTINGS, over_noise_db=12.0)
    state = shop(-40.0)
    for each in speech(40, -31.0):
        state, sign = step(state, each, strict)
        assert sign is None
    assert kinds(speech(40, -31.0), shop(-40.0)) == [Sign.STARTED]


def test_a_sound_too_short_for_speech_ends_when_a_word_was_heard_in_it() -> None:
    short = int(SHORT_S / FRAME_S) - 1
    heard, _ = run(speech(short))
    assert kinds(silence(30), heard) == []
    assert kinds(silence(30), with_word(heard)) == [Sign.ENDED]


def test_a_sound_too_short_for_speech_ends_at_last_without_a_word() -> None:
    _, signs = run([*speech(8), *silence(100)])
    assert signs[-1] == (Sign.ENDED, 2.01)


def test_a_word_alone_is_no_speech() -> None:
    assert kinds(silence(100), with_word(SpeechState())) == [Sign.NOTHING_SAID]


frames_strategy = st.lists(
    st.builds(lambda dbfs, voiced: frame(dbfs, voiced=voiced), st.floats(-96, 0), st.booleans()), max_size=300
)


levels = st.floats(-96, 0)
backgrounds = st.builds(
    lambda loud, headroom, blocks: Background(loud, loud, headroom, Floor(blocks)),
    levels,
    st.floats(1, 9),
    st.lists(levels, max_size=BLOCKS).map(tuple),
)


@hypothesis_settings(max_examples=60)
@given(frames_strategy, backgrounds, st.integers(0, 300))
def test_whatever_is_heard_the_signs_come_in_an_order_that_makes_sense(
    frames: list[Frame], background: Background, word_at: int
) -> None:
    state, first = run(frames[:word_at], beginning(background, -0.5))
    state, second = run(frames[word_at:], with_word(state))
    order = [sign for sign, _ in (*first, *second)]
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
        assert 0 < state.speech_s <= state.at_s + 0.5 + 0.001
        assert state.started_s is not None
        assert -0.501 <= state.started_s < state.last_speech_s <= state.at_s


impossible = st.one_of(
    st.builds(frame, st.floats(-96, SETTINGS.silence_dbfs)),
    st.builds(lambda dbfs: frame(dbfs, voiced=False), levels),
)


@hypothesis_settings(max_examples=60)
@given(st.lists(impossible, max_size=300), backgrounds)
def test_no_frame_below_the_silence_level_or_without_a_voice_is_speech(
    frames: list[Frame], background: Background
) -> None:
    state, signs = run(frames, beginning(background, 0.0))
    assert state.speech_s == 0
    assert {sign for sign, _ in signs} <= {Sign.NOTHING_SAID}


def test_the_gaps_between_words_are_speech_and_longer_ones_are_not() -> None:
    state, _ = run([*speech(20), *silence(6), *speech(20)])
    assert abs(state.speech_s - 46 * FRAME_S) < 0.001
    state, _ = run([*speech(20), *silence(15), *speech(20)])
    assert 38 * FRAME_S - 0.001 < state.speech_s < 41 * FRAME_S
