"""The real ear and PortAudio with a microphone that fails: every fault, at rest and in the middle of a visit.

`VOISEBACK_MIC_CYCLES` says how many faults one ear must outlive without growing; `make microphone-endurance` sets it.
"""

import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from audio.ear_process import EarProcess
from audio.health import WINDOW_S, Problem
from audio.protocol import (
    EarLost,
    Failed,
    FirstSound,
    Interrupted,
    Level,
    MicrophoneHealth,
    Ready,
    SpeechStarted,
    Transcript,
)
from audio.settings import AudioSettings
from benchmarks import ear_faults
from benchmarks.ear_faults import BACK_LIMIT_S, REST_CPU_LIMIT, TOLD_LIMIT_S, Fault, FaultyEar, Measure, Moment
from demo.microphone import DEVICE_NAME, SimulatedMicrophone
from demo.microphone.driver import CLIPPING_DBFS
from tests.audio.conftest import SPEECH, Recorder, running_ear, wait_until

CYCLES = int(os.environ.get("VOISEBACK_MIC_CYCLES", "5"))
GROWTH_KIB = 4096
PIZZA = "we come every friday for the pizza"

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120 + 20 * CYCLES)]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, plugin_dir: Path) -> Iterator[FaultyEar]:
    """One ear for all faults: each must leave it as well as it found it."""
    with FaultyEar(tmp_path_factory.mktemp("faulty"), plugin_dir) as ear:
        yield ear


def check(fault: Fault, moment: Moment, measure: Measure) -> None:
    """What must hold of every fault, on however busy a machine."""
    assert measure.told_s <= TOLD_LIMIT_S
    assert measure.back_s <= BACK_LIMIT_S
    if moment is Moment.REST:
        assert measure.ending == ()
    elif fault is Fault.OVERRUN:
        assert measure.ending == ("Transcript",)
    else:
        assert measure.ending == ("Interrupted", "Transcript")


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("fault", Fault)
def test_a_fault_is_told_in_time_and_the_ear_is_back_in_time_and_then_at_rest(
    faulty: FaultyEar, fault: Fault, moment: Moment
) -> None:
    measure = faulty.suffer(fault, moment)
    check(fault, moment, measure)
    assert measure.rest_cpu <= REST_CPU_LIMIT


def test_an_ear_that_outlives_fault_after_fault_does_not_grow(faulty: FaultyEar) -> None:
    faults = itertools.cycle(itertools.product(Fault, Moment))
    for _ in range(2):
        faulty.suffer(*next(faults), hold_s=0.1, rest_s=0.1)
    memory_kib, files = ear_faults.memory_kib(), ear_faults.open_files()
    for fault, moment in itertools.islice(faults, CYCLES):
        check(fault, moment, faulty.suffer(fault, moment, hold_s=0.1, rest_s=0.1))
    assert ear_faults.memory_kib() - memory_kib < GROWTH_KIB
    assert ear_faults.open_files() <= files


def test_after_a_return_at_another_rate_words_are_understood(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, recorder):
        for rate_hz in (44100, 22050, 48000):
            microphone.unplug()
            recorder.wait(EarLost, since := recorder.mark())
            microphone.replug(rate_hz)
            assert recorder.wait(Ready, since).rate_hz == rate_hz
            assert visit(ear, recorder, microphone) == PIZZA


def visit(ear: EarProcess, recorder: Recorder, microphone: SimulatedMicrophone) -> str | None:
    since = recorder.mark()
    ear.begin("visit")
    recorder.wait(FirstSound, since)
    microphone.say(SPEECH / "pizza.wav")
    assert microphone.wait_until_said(20)
    ear.finish("visit")
    return recorder.wait(Transcript, since).text


@pytest.mark.parametrize(("rate_hz", "channels"), [(8000, 1), (22050, 3), (32000, 2), (96000, 8)])
def test_a_mix_of_any_number_of_channels_at_any_rate_is_understood(
    tmp_path: Path, plugin_dir: Path, rate_hz: int, channels: int
) -> None:
    with SimulatedMicrophone(tmp_path, rate_hz=rate_hz, channels=channels, build_dir=plugin_dir) as microphone:
        # The voice, in one channel alone, is fainter in the mix.
        settings = AudioSettings(device=DEVICE_NAME, channel="mix", silence_dbfs=-80)
        with running_ear(microphone, settings) as (ear, recorder):
            ready = recorder.wait(Ready)
            assert (ready.rate_hz, ready.channels) == (rate_hz, channels)
            text = visit(ear, recorder, microphone)
            assert text is not None
            # At 8 kHz, half of what the model was trained with is missing.
            assert text == PIZZA if rate_hz > 8000 else text.startswith("we come every friday")


# A dead microphone.


def health(recorder: Recorder, problem: Problem, since: int = 0) -> MicrophoneHealth:
    """The first word about a problem, from event number `since` on."""
    wait_until(lambda: any(one.problem is problem for one in recorder.of(MicrophoneHealth, since)))
    return next(one for one in recorder.of(MicrophoneHealth, since) if one.problem is problem)


def test_a_dead_microphone_is_told_once_and_its_end_once_and_the_ear_stays(
    microphone: SimulatedMicrophone, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with running_ear(microphone) as (ear, recorder):
        since, pid, opens = recorder.mark(), ear.stats().pid, microphone.opens
        microphone.mute()
        told = health(recorder, Problem.DEAD, since)
        assert told.is_present
        assert "no sound, not even noise, for 2 s" in told.text
        assert ear.stats().problems == (told,)
        wait_until(lambda: microphone.opens > opens)  # it was opened anew, in case that this helps
        recorder.wait(Level, recorder.mark())
        since = recorder.mark()
        microphone.replug()
        assert not health(recorder, Problem.DEAD, since).is_present
        assert ear.stats().problems == ()
        assert ear.stats().pid == pid
        assert recorder.of(EarLost) == []
        assert visit(ear, recorder, microphone) == PIZZA
    messages = [(record.levelname, record.getMessage()) for record in caplog.records if record.name.startswith("audio")]
    assert [text for level, text in messages if level == "WARNING"] == [f"the sound is wrong: {told.text}"]
    assert sum("right again" in text for _, text in messages) == 1


def test_a_microphone_that_stays_dead_is_opened_by_another_ear_and_the_episode_goes_on(
    microphone: SimulatedMicrophone,
) -> None:
    microphone.mute()
    with running_ear(microphone) as (ear, recorder):
        assert health(recorder, Problem.DEAD).is_present
        pid = ear.stats().pid
        wait_until(lambda: ear.stats().is_ready and ear.stats().pid != pid)
        assert "sound is wrong" in recorder.wait(EarLost).reason
        microphone.replug()
        wait_until(lambda: not ear.stats().problems)
        assert [one.is_present for one in recorder.of(MicrophoneHealth) if one.problem is Problem.DEAD] == [True, False]
        assert visit(ear, recorder, microphone) == PIZZA


def test_a_visitor_whose_microphone_is_dead_from_the_beginning_is_told_why(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, recorder):
        since, opens = recorder.mark(), microphone.opens
        microphone.mute()
        assert health(recorder, Problem.DEAD, since).is_present
        wait_until(lambda: microphone.opens > opens)
        recorder.wait(Level, recorder.mark())
        ear.begin("a")
        _, began_s = recorder.wait_timed(FirstSound)
        failed, failed_s = recorder.wait_timed(Failed)
        assert failed.visit == "a"
        assert "no sound, not even noise" in failed.reason
        assert 1.0 < failed_s - began_s < TOLD_LIMIT_S
        assert ear.stats().is_ready


def test_what_was_said_before_a_microphone_died_is_understood(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, recorder):
        ear.begin("a")
        recorder.wait(FirstSound)
        microphone.say(SPEECH / "pizza.wav")
        assert microphone.wait_until_said(20)
        microphone.mute()
        interrupted = recorder.wait(Interrupted)
        assert "no sound, not even noise" in interrupted.reason
        ear.finish("a")  # the agent may not know yet
        transcript = recorder.wait(Transcript)
        assert (transcript.text, transcript.interrupted) == (PIZZA, True)
        stats = ear.stats()
        assert (stats.transcripts, stats.failures, stats.interruptions, stats.waiting) == (1, 0, 1, 0)
        assert recorder.of(Failed) == []
        assert recorder.of(EarLost) == []


def test_silence_shorter_than_dead_s_ends_no_visit(microphone: SimulatedMicrophone) -> None:
    settings = AudioSettings(device=DEVICE_NAME, dead_s=20)
    with running_ear(microphone, settings) as (ear, recorder):
        ear.begin("a")
        recorder.wait(FirstSound)
        microphone.mute()
        frames = microphone.frames
        wait_until(lambda: microphone.frames > frames + 3 * microphone.rate_hz)
        microphone.replug()
        microphone.say(SPEECH / "pizza.wav")
        recorder.wait(SpeechStarted)
        assert microphone.wait_until_said(20)
        ear.finish("a")
        assert recorder.wait(Transcript).text == PIZZA
        assert recorder.of(Interrupted) == []


def test_a_dead_channel_names_one_that_is_alive(tmp_path: Path, plugin_dir: Path) -> None:
    with SimulatedMicrophone(tmp_path, channels=3, build_dir=plugin_dir) as microphone:
        microphone.kill_channels(1, 3)
        settings = AudioSettings(device=DEVICE_NAME, channel=3)
        with running_ear(microphone, settings, wait_ready=False) as (ear, recorder):
            assert "set `channel = 2`" in health(recorder, Problem.DEAD).text
            ear.restart(AudioSettings(device=DEVICE_NAME, channel="mix"))
            since = recorder.mark()
            wait_until(lambda: not ear.stats().problems)
            assert not health(recorder, Problem.DEAD, since).is_present


# What else can be wrong.


def test_a_device_that_delivers_another_rate_than_it_says_is_told_and_opened_anew(
    microphone: SimulatedMicrophone,
) -> None:
    with running_ear(microphone) as (ear, recorder):
        opens = microphone.opens
        microphone.run_at(14700)  # as 44.1 kHz for 48
        wait_until(lambda: any(one.is_present for one in recorder.of(MicrophoneHealth)))
        told = next(one for one in recorder.of(MicrophoneHealth) if one.is_present)
        assert told.problem is Problem.WRONG_RATE
        figure = int(told.text.removeprefix("the microphone delivers about ").split()[0])
        assert figure == pytest.approx(14700, rel=0.02)
        wait_until(lambda: microphone.opens > opens)
        microphone.run_at(None)
        since = recorder.mark()
        wait_until(lambda: not ear.stats().problems, 5 * WINDOW_S)
        assert not health(recorder, Problem.WRONG_RATE, since).is_present


def test_clipping_and_an_offset_are_told_and_nothing_is_done_to_the_ear(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, recorder):
        since, opens = recorder.mark(), microphone.opens
        microphone.make_noise(CLIPPING_DBFS)
        wait_until(lambda: any(one.problem is Problem.CLIPPING for one in ear.stats().problems))
        microphone.make_noise()
        microphone.shift(0.05)
        wait_until(lambda: [one.problem for one in ear.stats().problems] == [Problem.OFFSET])
        assert "of full scale, which reads as loud as quiet speech" in ear.stats().problems[0].text
        microphone.shift()
        wait_until(lambda: ear.stats().problems == ())
        assert {one.problem for one in recorder.of(MicrophoneHealth, since) if one.is_present} == {
            Problem.CLIPPING,
            Problem.OFFSET,
        }
        assert ear.stats().starts == 1
        assert microphone.opens == opens


def test_sound_that_is_lost_again_and_again_is_told(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, recorder):
        for _ in range(60):
            microphone.overrun()
            recorder.wait(Level, recorder.mark())
            if any(one.problem is Problem.OVERFLOWS for one in ear.stats().problems):
                break
        else:
            pytest.fail("it was not told")
        wait_until(lambda: ear.stats().problems == ())
        assert recorder.of(EarLost) == []


def test_presses_in_quick_succession_are_no_stall(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, recorder):
        for number in range(40):
            since = recorder.mark()
            ear.begin(str(number))
            assert recorder.wait(FirstSound, since).visit == str(number)
            ear.discard(str(number))
        assert recorder.of(EarLost) == []
