import functools
import logging
import math
import random
from array import array
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.ear_account import EarAccount
from audio.health import (
    DEAD_STEPS,
    LIVELY_S,
    OVERFLOWS_MANY,
    STRIDE,
    WINDOW_S,
    Finding,
    Problem,
    SoundHealth,
    dead_text,
    lively_channel,
    look,
)
from audio.microphone_care import WARN_AGAIN_S, MicrophoneCare
from audio.protocol import Failed, Interrupted, MicrophoneHealth, Ready
from audio.remedy import Cure, Remedy, RemedyLimits
from audio.settings import AudioSettings
from audio.vigil import EarLimits

BLOCK_S = 0.03
SETTINGS = AudioSettings()
LIMITS = RemedyLimits()


class Stream:
    """Blocks of a microphone, given to a `SoundHealth`; keeps what is found, with the time."""

    def __init__(self, rate_hz: int = 16000, settings: AudioSettings = SETTINGS) -> None:
        self.health = SoundHealth(settings, rate_hz)
        self.frames = round(rate_hz * BLOCK_S)
        self.at_s = 100.0
        self.pace = 1.0
        self.found: list[tuple[float, Finding]] = []
        self._random = random.Random(7)

    def noise(self, peak: int = 30, middle: int = 0) -> "array[int]":
        """A block of white noise, one of some."""
        return self._random.choice(self._noises(max(-32768, middle - peak), min(32767, middle + peak)))

    @functools.cache  # noqa: B019 - a stream lives for one test
    def _noises(self, low: int, high: int) -> "list[array[int]]":
        return [array("h", [self._random.randint(low, high) for _ in range(self.frames)]) for _ in range(20)]

    def constant(self, value: int = 0) -> "array[int]":
        return array("h", [value]) * self.frames

    def give(
        self,
        block: "Callable[[], array[int]]",
        seconds: float,
        *,
        late: Iterator[float] | None = None,
        overflows: float = 0.0,
    ) -> list[Finding]:
        """Deliver blocks for so long; what was found. `overflows`: share of blocks before which sound was lost."""
        since = len(self.found)
        for _ in range(round(seconds / BLOCK_S)):
            self.at_s += BLOCK_S / self.pace
            arrived_s = self.at_s + (next(late) if late else 0.0)
            overflowed = self._random.random() < overflows
            for finding in self.health.hear(block().tobytes(), arrived_s, overflowed=overflowed):
                self.found.append((self.at_s, finding))
        return [finding for _, finding in self.found[since:]]


def present(found: list[Finding]) -> set[Problem]:
    return {one.problem for one in found if one.is_present}


def over(found: list[Finding]) -> set[Problem]:
    return {one.problem for one in found if not one.is_present}


def test_a_quiet_room_is_well_in_every_respect_and_told_once() -> None:
    stream = Stream()
    found = stream.give(stream.noise, 60)
    assert present(found) == set()
    assert sorted(one.problem for one in found) == sorted(Problem)


@pytest.mark.parametrize("value", [0, -1, 700, 32767, -32768])
def test_sound_that_never_changes_is_dead_after_dead_s(value: int) -> None:
    stream = Stream()
    stream.give(stream.noise, 1)
    began_s = stream.at_s
    found = stream.give(lambda: stream.constant(value), 10)
    assert present(found) == {Problem.DEAD}
    (told_s,) = [at_s for at_s, one in stream.found if one.is_present]
    assert told_s - began_s == pytest.approx(SETTINGS.dead_s, abs=2 * BLOCK_S)


def test_a_converter_without_a_microphone_is_dead_too() -> None:
    stream = Stream()
    assert Problem.DEAD in present(stream.give(lambda: stream.noise(DEAD_STEPS // 2), 3))


def test_noise_just_above_digital_silence_is_alive() -> None:
    stream = Stream()
    assert present(stream.give(lambda: stream.noise(DEAD_STEPS), 10)) == set()


def test_a_gap_shorter_than_dead_s_is_no_death() -> None:
    stream = Stream()
    for _ in range(5):
        assert present(stream.give(stream.constant, SETTINGS.dead_s - 0.2)) == set()
        stream.give(stream.noise, 0.1)


def test_a_microphone_that_switches_its_sound_off_can_be_allowed_to() -> None:
    stream = Stream(settings=AudioSettings(dead_s=60))
    assert present(stream.give(stream.constant, 50)) == set()


def test_a_click_does_not_bring_a_dead_microphone_to_life_but_sound_does() -> None:
    stream = Stream()
    stream.give(stream.constant, 3)
    assert stream.give(stream.noise, LIVELY_S / 2) == []
    assert not stream.health.is_dead
    assert stream.give(stream.constant, 1) == []
    found = stream.give(stream.noise, 1)
    assert over(found) >= {Problem.DEAD}
    assert present(found) == set()


def test_one_constant_after_another_is_not_a_longer_one() -> None:
    stream = Stream()
    stream.give(lambda: stream.constant(0), 1.5)
    stream.give(lambda: stream.constant(500), 1.5)
    assert present([one for _, one in stream.found]) == set()
    assert stream.health.flat_s == pytest.approx(1.5)


def test_the_text_of_a_dead_channel_names_one_that_is_alive() -> None:
    assert "mute switch" in dead_text(2.0)
    assert "set `channel = 2`" in dead_text(2.0, 2)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000, 96000])
@pytest.mark.parametrize("pace", [44100 / 48000, 48000 / 44100, 0.5, 2.0, 1.06, 0.94])
def test_another_rate_than_the_agreed_one_is_told_with_its_figure(rate_hz: int, pace: float) -> None:
    stream = Stream(rate_hz)
    stream.pace = pace
    found = stream.give(stream.noise, 4 * WINDOW_S * max(1.0, pace))
    assert present(found) == {Problem.WRONG_RATE}
    text = next(one.text for one in found if one.is_present)
    figure = int(text.removeprefix("the microphone delivers about ").split()[0])
    assert figure == pytest.approx(rate_hz * pace, rel=0.002)
    stream.pace = 1.0
    assert Problem.WRONG_RATE in over(stream.give(stream.noise, 3 * WINDOW_S))


@settings(deadline=None, max_examples=50)  # half a minute of sound each
@given(pace=st.floats(0.99, 1.01), seed=st.integers(0, 2**32), worst_s=st.floats(0.0, 0.3))
def test_blocks_that_come_late_are_no_wrong_rate(pace: float, seed: int, worst_s: float) -> None:
    chance = random.Random(seed)
    stream = Stream(8000)
    stream.pace = pace
    quiet = stream.noise()
    found = stream.give(lambda: quiet, 30, late=iter(lambda: chance.random() ** 2 * worst_s, None))
    assert Problem.WRONG_RATE not in present(found)


def test_a_machine_that_stands_still_for_a_moment_is_no_wrong_rate() -> None:
    stream = Stream()
    stream.give(stream.noise, 2.5 * WINDOW_S)
    stream.at_s += 0.9
    assert present(stream.give(stream.noise, 4 * WINDOW_S)) == set()


def test_lost_sound_makes_the_rate_unknown_and_not_wrong() -> None:
    stream = Stream()
    stream.pace = 0.8
    found = stream.give(stream.noise, 6 * WINDOW_S, overflows=0.1)
    assert present(found) == {Problem.OVERFLOWS}
    assert over(found) >= {Problem.DEAD, Problem.CLIPPING, Problem.OFFSET}
    assert Problem.WRONG_RATE not in over(found)


def test_overflows_again_and_again_are_told_and_a_single_one_is_not() -> None:
    stream = Stream()
    stream.give(stream.noise, WINDOW_S)
    stream.give(stream.noise, BLOCK_S, overflows=1.0)
    assert present(stream.give(stream.noise, 2 * WINDOW_S)) == set()
    stream.give(stream.noise, 2 * OVERFLOWS_MANY * BLOCK_S, overflows=1.0)
    found = stream.give(stream.noise, 4 * WINDOW_S)
    assert [one.is_present for one in found if one.problem is Problem.OVERFLOWS] == [True, False]


def test_constant_clipping_is_told_and_a_visitor_who_shouts_is_not() -> None:
    stream = Stream()

    def shout() -> "array[int]":
        return stream.noise(32767 if stream.at_s % 1.0 < 0.3 else 3000)

    assert present(stream.give(shout, 30)) == set()
    square = array("h", [32767, 32767, -32768, -32768] * (stream.frames // 4))
    assert present(stream.give(lambda: square, 2 * WINDOW_S)) == {Problem.CLIPPING}
    assert stream.give(lambda: square if stream.at_s % 1.0 < 0.3 else stream.noise(), 3 * WINDOW_S) == []
    assert Problem.CLIPPING in over(stream.give(stream.noise, 2 * WINDOW_S))


@pytest.mark.parametrize("share", [0.02, -0.02, 0.3, -0.3])
def test_an_offset_as_loud_as_quiet_speech_is_told_with_its_size(share: float) -> None:
    stream = Stream()
    found = stream.give(lambda: stream.noise(30, round(32768 * share)), 2 * WINDOW_S)
    assert present(found) == {Problem.OFFSET}
    assert f"{100 * share:+.1f} %" in next(one.text for one in found if one.is_present)
    assert Problem.OFFSET in over(stream.give(stream.noise, 2 * WINDOW_S))


@pytest.mark.parametrize("tone_hz", [50, 60, 100, 440, 1000, 16000 / STRIDE])
def test_a_loud_tone_is_no_offset(tone_hz: float) -> None:
    stream = Stream()
    sine = array("h", [round(20000 * math.sin(2 * math.pi * tone_hz * i / 16000 + 1)) for i in range(16000 * 20)])
    position = 0

    def tone() -> "array[int]":
        nonlocal position
        position += stream.frames
        return sine[position - stream.frames : position]

    assert present(stream.give(tone, 19)) == set()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["noise", "zeros", "loud", "shifted"]), st.floats(0.1, 12)), max_size=6))
def test_a_finding_is_always_news(stretches: list[tuple[str, float]]) -> None:
    stream = Stream(8000)
    blocks = {
        "noise": stream.noise(),
        "zeros": stream.constant(),
        "loud": stream.noise(32767),
        "shifted": stream.noise(30, 3000),
    }
    for kind, seconds in stretches:
        stream.give(lambda kind=kind: blocks[kind], seconds)  # type: ignore[misc]
    for problem in Problem:
        said = [one.is_present for _, one in stream.found if one.problem is problem]
        assert all(before != after for before, after in pairwise(said))


@given(st.binary(min_size=2, max_size=4000).map(lambda data: data[: len(data) & ~1]))
def test_what_is_seen_of_a_block_is_in_it(samples: bytes) -> None:
    values = array("h", samples).tolist()
    seen = look(samples)
    assert min(values) <= seen.lowest <= seen.highest <= max(values)
    assert (seen.highest - seen.lowest <= DEAD_STEPS) == (max(values) - min(values) <= DEAD_STEPS)


def test_an_empty_block_says_nothing() -> None:
    assert SoundHealth(SETTINGS, 16000).hear(b"", 0.0) == []


# The schedule of cures.


def cures(remedy: Remedy, seconds: float, *, from_s: float = 0.0, is_visited: bool = False) -> list[tuple[float, Cure]]:
    """What is done over a time that is looked at ten times a second."""
    times = [from_s + i / 10 for i in range(round(seconds * 10))]
    return [(now_s, cure) for now_s in times if (cure := remedy.due(now_s, is_visited=is_visited)) is not None]


def unhurried(_low: float, high: float) -> float:
    return high


def test_a_dead_microphone_is_reopened_at_once_and_then_replaced_ever_more_rarely_for_ever() -> None:
    remedy = Remedy(LIMITS, unhurried)
    remedy.found(Problem.DEAD, is_present=True, now_s=0.0)
    done = cures(remedy, 24 * 3600)
    assert done[0] == (0.0, Cure.REOPEN)
    assert {cure for _, cure in done[1:]} == {Cure.REPLACE}
    waits_s = [after - before for (before, _), (after, _) in pairwise(done)]
    assert waits_s[:4] == pytest.approx([10, 20, 40, 80], abs=0.2)
    assert max(waits_s) == pytest.approx(LIMITS.longest_s, abs=0.2)
    assert done[-1][0] > 24 * 3600 - LIMITS.longest_s - 1
    for hour in range(25, 24 * 365):
        assert remedy.due(hour * 3600.0, is_visited=False) is Cure.REPLACE


@pytest.mark.parametrize("problem", [Problem.CLIPPING, Problem.OFFSET, Problem.OVERFLOWS])
def test_what_opening_anew_cannot_mend_is_left_alone(problem: Problem) -> None:
    remedy = Remedy(LIMITS, unhurried)
    remedy.found(problem, is_present=True, now_s=0.0)
    assert cures(remedy, 3600) == []


def test_nothing_is_done_during_a_visit_but_right_after_it() -> None:
    remedy = Remedy(LIMITS, unhurried)
    remedy.found(Problem.WRONG_RATE, is_present=True, now_s=0.0)
    assert cures(remedy, 300, is_visited=True) == []
    assert remedy.due(300.0, is_visited=False) is Cure.REOPEN


def test_nothing_is_done_to_a_microphone_that_is_well_again() -> None:
    remedy = Remedy(LIMITS, unhurried)
    remedy.found(Problem.DEAD, is_present=True, now_s=0.0)
    remedy.found(Problem.WRONG_RATE, is_present=True, now_s=0.0)
    remedy.due(0.0, is_visited=False)
    remedy.found(Problem.DEAD, is_present=False, now_s=1.0)
    assert remedy.due(LIMITS.second_s + 1, is_visited=False) is Cure.REPLACE
    remedy.found(Problem.WRONG_RATE, is_present=False, now_s=20.0)
    assert cures(remedy, 3600, from_s=20.0) == []


def test_a_microphone_that_fails_again_soon_is_treated_as_rarely_as_before() -> None:
    remedy = Remedy(LIMITS, unhurried)
    done = []
    for now_s in range(0, 600, 3):  # a loose contact
        remedy.found(Problem.DEAD, is_present=now_s % 2 == 0, now_s=now_s)
        done += cures(remedy, 1, from_s=now_s)
    assert 4 <= len(done) <= 7
    remedy.found(Problem.DEAD, is_present=False, now_s=600.0)
    remedy.found(Problem.DEAD, is_present=True, now_s=600.0 + LIMITS.calm_s)
    assert remedy.due(600.0 + LIMITS.calm_s, is_visited=False) is Cure.REOPEN


def test_a_microphone_that_is_wrong_in_one_way_all_the_time_was_not_well_meanwhile() -> None:
    remedy = Remedy(LIMITS, unhurried)
    remedy.found(Problem.WRONG_RATE, is_present=True, now_s=0.0)
    remedy.found(Problem.DEAD, is_present=True, now_s=0.0)
    remedy.due(0.0, is_visited=False)
    remedy.found(Problem.DEAD, is_present=False, now_s=1.0)
    remedy.found(Problem.DEAD, is_present=True, now_s=2.0 + LIMITS.calm_s)
    assert remedy.due(2.0 + LIMITS.calm_s, is_visited=False) is Cure.REPLACE


@given(
    st.lists(
        st.tuples(st.floats(0.0, 30.0), st.sampled_from(list(Problem)), st.booleans(), st.booleans()), max_size=60
    ),
    st.randoms(use_true_random=False),
)
def test_cures_are_rare_whatever_happens(
    events: list[tuple[float, Problem, bool, bool]], chance: random.Random
) -> None:
    remedy = Remedy(LIMITS, chance.uniform)
    now_s, present_now, done = 0.0, set[Problem](), []
    for wait_s, problem, is_present, is_visited in events:
        now_s += wait_s
        remedy.found(problem, is_present=is_present, now_s=now_s)
        (present_now.add if is_present else present_now.discard)(problem)
        if remedy.due(now_s, is_visited=is_visited):
            assert not is_visited
            assert present_now & {Problem.DEAD, Problem.WRONG_RATE}
            done.append(now_s)
    assert all(after - before >= LIMITS.second_s / 2 for before, after in pairwise(done))


# What the parent makes of it.


def said(problem: Problem = Problem.DEAD, *, is_present: bool = True) -> MicrophoneHealth:
    return MicrophoneHealth(problem=problem, is_present=is_present, text=f"about {problem}")


def test_an_episode_is_told_once_however_many_ears_find_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    care = MicrophoneCare(LIMITS, unhurried)
    assert care.take(said(is_present=False), 0.0) == []
    assert care.take(said(), 1.0) == [said()]
    assert care.take(said(Problem.CLIPPING), 2.0) == [said(Problem.CLIPPING)]
    assert care.take(said(), 3.0) == []
    assert [one.problem for one in care.problems] == [Problem.DEAD, Problem.CLIPPING]
    assert care.take(said(is_present=False), 4.0) == [said(is_present=False)]
    assert care.take(said(is_present=False), 5.0) == []
    assert [one.problem for one in care.problems] == [Problem.CLIPPING]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]


def test_a_loose_contact_does_not_fill_the_log_but_is_told_each_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    care = MicrophoneCare(LIMITS, unhurried)
    for now_s in range(200):
        assert care.take(said(is_present=now_s % 2 == 0), now_s) != []
    assert len(caplog.records) == 2
    care.take(said(), 200 + WARN_AGAIN_S)
    assert len(caplog.records) == 3


READY = Ready(device="mic", rate_hz=16000, channels=1, model="m", model_is_demonstration=True, language="en")


def account_of_a_ready_ear() -> EarAccount:
    account = EarAccount(SETTINGS, EarLimits())
    account.start(None, 0.0)
    account.take(READY, 0.0)
    return account


def test_no_ear_is_treated_before_it_is_ready_or_while_any_visit_is_open() -> None:
    account = EarAccount(SETTINGS, EarLimits())
    account.start(None, 0.0)
    account.take(said(), 1.0)
    assert account.cure(1.0) is None
    account.take(READY, 2.0)
    assert account.begin("a") is None
    assert account.cure(2.0) is None
    account.take(Interrupted(visit="a", reason="dead", lost_for_s=2.0), 3.0)
    assert account.cure(3.0) is None
    account.take(Failed(visit="a", reason="nothing"), 4.0)
    assert account.cure(4.0) is Cure.REOPEN
    assert account.stats(None, 0, ()).problems == (said(),)


def test_a_visit_that_the_ear_itself_interrupts_is_told_so_once_and_outlives_the_ear() -> None:
    account = account_of_a_ready_ear()
    account.begin("a")
    told = Interrupted(visit="a", reason="dead", lost_for_s=2.0)
    assert account.take(told, 1.0) == [told]
    assert account.take(told, 1.0) == []
    assert not account.finish("a", 1.1)
    assert account.take(Interrupted(visit="b", reason="dead", lost_for_s=2.0), 1.2) == []
    assert account.stats(None, 0, ()).interruptions == 1
    assert account.start(5, 2.0).recover == ("a",)


def test_an_interrupted_visit_without_a_transcript_is_noticed() -> None:
    limits = EarLimits(finish_s=5.0, stall_s=100.0)
    account = EarAccount(SETTINGS, limits)
    account.start(None, 0.0)
    account.take(READY, 0.0)
    account.begin("a")
    account.take(Interrupted(visit="a", reason="dead", lost_for_s=2.0), 1.0)
    assert account.verdict(5.9, None) is None
    assert "no transcript" in (account.verdict(6.1, None) or "")


def test_the_first_lively_channel_is_named() -> None:
    frames = array("h", [0, 5, 0, 0, 5, 9, 0, 5, -9])
    assert lively_channel(frames.tobytes(), 3) == 3
    assert lively_channel(frames[:2].tobytes(), 2) is None
