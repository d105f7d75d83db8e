"""The real ear: its process, PortAudio, Vosk and a simulated USB microphone."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from audio.child import STDERR_BYTES_PER_S, STDERR_LINE_CHARS, STDERR_LINES_LOGGED, WRONG_LINES_LOGGED
from audio.ear_process import EarProcess
from audio.model import DEMONSTRATION
from audio.model_memory import resident_bytes
from audio.protocol import (
    EarLost,
    Failed,
    FirstSound,
    Interrupted,
    LanguageUnusable,
    Level,
    NothingSaid,
    Partial,
    Ready,
    SpeechEnded,
    SpeechStarted,
    Transcript,
    encode,
)
from audio.settings import AudioSettings
from demo.microphone import DEVICE_NAME, SimulatedMicrophone
from tests.audio.conftest import SPEECH, Recorder, running_ear, wait_until

pytestmark = pytest.mark.servers

FLOWERS = "i love the flowers near the entrance"
PIZZA = "we come every friday for the pizza"
LOST_WITHIN_S = 2.5
BACK_WITHIN_S = 5.0
PIPE_BYTES = 65536
SETTINGS = AudioSettings(device=DEVICE_NAME)


def say_until(microphone: SimulatedMicrophone, name: str, seconds: float) -> None:
    """Start to say something, and wait until so much of it is said."""
    frames = microphone.frames
    microphone.say(SPEECH / name)
    wait_until(lambda: microphone.frames >= frames + seconds * microphone.rate_hz)


def listen(ear: EarProcess, recorder: Recorder, microphone: SimulatedMicrophone, visit: str, name: str) -> Transcript:
    """One whole visit in which a file is said."""
    since = recorder.mark()
    ear.begin(visit)
    recorder.wait(FirstSound, since)
    microphone.say(SPEECH / name)
    assert microphone.wait_until_said(20)
    ear.finish(visit)
    return recorder.wait(Transcript, since)


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def test_a_ready_ear_says_what_it_hears_with(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, recorder):
        ready = recorder.wait(Ready)
        assert ready == Ready(
            device="mic",
            rate_hz=16000,
            channels=1,
            model="demonstration-en",
            model_is_demonstration=True,
            language="en",
        )
        stats = ear.stats()
        assert stats.is_ready
        assert (stats.starts, stats.losses, stats.reason) == (1, 0, None)
        recorder.wait(Level, recorder.mark())


def test_a_visit_is_understood_to_the_word_and_told_step_by_step(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, recorder):
        transcript = listen(ear, recorder, microphone, "visit-1", "flowers.wav")
        assert transcript.visit == "visit-1"
        assert transcript.text == FLOWERS
        assert 1.5 < transcript.speech_s < transcript.audio_s
        assert transcript.finalise_ms < 1000
        assert 0.3 < recorder.wait(SpeechStarted).at_s < 2.0
        assert recorder.of(Partial)[-1].text.startswith("i love the")
        assert max(level.dbfs for level in recorder.of(Level)) > -40
        assert ear.stats().transcripts == 1


def test_words_spoken_before_begin_are_kept(microphone: SimulatedMicrophone) -> None:
    settings = AudioSettings(device=DEVICE_NAME, preroll_ms=1500)
    with running_ear(microphone, settings) as (ear, recorder):
        wait_until(lambda: microphone.frames > 2 * microphone.rate_hz)
        say_until(microphone, "flowers.wav", 0.9)  # the first word lies from 0.69 s to 0.84 s
        ear.begin("a")
        assert microphone.wait_until_said(20)
        ear.finish("a")
        assert recorder.wait(Transcript).text == FLOWERS
        assert recorder.wait(SpeechStarted).at_s < 0
        assert recorder.wait(FirstSound).preroll_s == pytest.approx(1.5)


def test_without_a_preroll_the_same_words_are_lost(microphone: SimulatedMicrophone) -> None:
    settings = AudioSettings(device=DEVICE_NAME, preroll_ms=0)
    with running_ear(microphone, settings) as (ear, recorder):
        say_until(microphone, "flowers.wav", 1.2)
        ear.begin("a")
        assert microphone.wait_until_said(20)
        ear.finish("a")
        text = recorder.wait(Transcript).text
        assert text is not None
        assert not text.startswith("i love")


def test_the_end_of_speech_is_told_after_the_pause(microphone: SimulatedMicrophone) -> None:
    settings = AudioSettings(device=DEVICE_NAME, pause_s=0.8)
    with running_ear(microphone, settings) as (ear, recorder):
        ear.begin("a")
        microphone.say(SPEECH / "pizza.wav")
        assert recorder.wait(SpeechEnded).visit == "a"
        ear.finish("a")
        assert recorder.wait(Transcript).text == PIZZA


def test_a_visit_without_a_word_is_told_and_has_no_text(microphone: SimulatedMicrophone) -> None:
    settings = AudioSettings(device=DEVICE_NAME, nothing_said_s=1.0)
    with running_ear(microphone, settings) as (ear, recorder):
        ear.begin("a")
        assert recorder.wait(NothingSaid).visit == "a"
        ear.finish("a")
        transcript = recorder.wait(Transcript)
        assert transcript.text is None
        assert transcript.speech_s == 0
        assert recorder.of(SpeechStarted) == []


def test_a_discarded_visit_leaves_no_word_for_the_next(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, recorder):
        ear.begin("a")
        say_until(microphone, "flowers.wav", 2.0)
        recorder.wait(Partial)
        ear.discard("a")
        since = recorder.mark()
        assert listen(ear, recorder, microphone, "b", "pizza.wav").text in {PIZZA, f"entrance {PIZZA}"}
        assert {event.visit for event in recorder.of(Partial, since)} <= {"b"}
        assert recorder.of(Transcript)[0].visit == "b"


def test_two_visits_in_a_row_do_not_mix(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, recorder):
        assert listen(ear, recorder, microphone, "a", "pizza.wav").text == PIZZA
        assert listen(ear, recorder, microphone, "b", "flowers.wav").text == FLOWERS


@pytest.mark.parametrize("fault", ["unplug", "unplug_as_overrun", "stall"])
def test_a_microphone_that_goes_away_is_noticed_and_taken_up_again(
    microphone: SimulatedMicrophone, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with running_ear(microphone) as (ear, recorder):
        ear.begin("a")
        recorder.wait(FirstSound)
        faulty_s = time.monotonic()
        getattr(microphone, fault)()
        _, lost_s = recorder.wait_timed(EarLost)
        assert lost_s - faulty_s < LOST_WITHIN_S
        assert recorder.wait(Interrupted).visit == "a"
        assert not ear.stats().is_ready
        # While it is stalled, the next ear can open it, and waits for its first sound.
        if fault != "stall":
            assert recorder.wait(Transcript).visit == "a"
        wait_until(lambda: ear.stats().starts >= (2 if fault == "stall" else 3))
        assert len(recorder.of(EarLost)) == 1
        since, plugged_s = recorder.mark(), time.monotonic()
        microphone.replug()
        _, back_s = recorder.wait_timed(Ready, since)
        assert recorder.wait(Transcript).visit == "a"
        assert back_s - plugged_s < BACK_WITHIN_S
        if fault == "unplug":
            assert listen(ear, recorder, microphone, "b", "pizza.wav").text == PIZZA
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert sum("is back" in record.getMessage() for record in caplog.records) == 1


def test_lost_sound_is_counted_and_survived(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, _):
        microphone.overrun()
        wait_until(lambda: ear.stats().overflows > 0)
        assert microphone.overrun_done
        blocks = ear.stats().blocks
        wait_until(lambda: ear.stats().blocks > blocks + 30)
        assert ear.stats().losses == 0


def test_a_muted_microphone_gives_silence_and_no_text(microphone: SimulatedMicrophone) -> None:
    microphone.mute()
    with running_ear(microphone, AudioSettings(device=DEVICE_NAME, dead_s=60)) as (ear, recorder):
        transcript = listen(ear, recorder, microphone, "a", "pizza.wav")
        assert transcript.text is None
        assert {level.dbfs for level in recorder.of(Level)} == {-96.0}


def test_a_killed_ear_is_replaced_and_its_visit_goes_on_in_the_next(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, recorder):
        ear.begin("a")
        recorder.wait(FirstSound)
        since, pid = recorder.mark(), ear.stats().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert "SIGKILL" in recorder.wait(EarLost, since).reason
        assert recorder.wait(Interrupted, since).visit == "a"
        recorder.wait(Ready, since)
        assert ear.stats().pid not in {None, pid}
        transcript = recorder.wait(Transcript, since)
        assert (transcript.visit, transcript.interrupted) == ("a", True)
        assert recorder.of(Failed) == []


def test_a_visit_of_which_the_ear_never_heard_fails_with_it() -> None:
    recorder, silent = (
        Recorder(),
        "import sys, time\nsys.stdin.readline()\nprint(READY, flush=True)\nsys.stdin.readline()",
    )
    ready = encode(Ready(device="", rate_hz=1, channels=1, model="", model_is_demonstration=True, language="en"))
    program = silent.replace("READY", repr(ready.decode().strip()))
    with EarProcess(SETTINGS, recorder, command=[sys.executable, "-c", program]) as ear:
        recorder.wait(Ready)
        ear.begin("a")
        assert recorder.wait(Failed).visit == "a"
        assert recorder.of(Interrupted) == []


def test_a_frozen_ear_is_killed_and_replaced(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, recorder):
        since, pid = recorder.mark(), ear.stats().pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        assert "no sound" in recorder.wait(EarLost, since).reason
        recorder.wait(Ready, since)
        assert not is_alive(pid)


def test_a_missing_model_is_one_clear_reason_and_is_waited_for(microphone: SimulatedMicrophone, tmp_path: Path) -> None:
    model = tmp_path / "vosk-model-later"
    settings = AudioSettings(device=DEVICE_NAME, model=str(model))
    with running_ear(microphone, settings, wait_ready=False) as (ear, recorder):
        reason = recorder.wait(EarLost).reason
        assert reason == f"there is no model at {model}; install one, or correct the path"
        # The microphone is heard meanwhile, and the model is looked for again and again.
        since = recorder.mark()
        recorder.wait(Level, since)
        wait_until(lambda: ear.stats().languages[0].state == "unusable")
        pid = ear.stats().pid
        assert len(recorder.of(EarLost)) == 1
        shutil.copytree(DEMONSTRATION, tmp_path / "unfinished")
        (tmp_path / "unfinished").rename(model)
        ready = recorder.wait(Ready)
        assert ready.model == "vosk-model-later"
        assert not ready.model_is_demonstration
        assert (ear.stats().starts, ear.stats().pid) == (1, pid)
        assert len(recorder.of(LanguageUnusable)) == 1


def test_a_damaged_model_is_one_clear_reason(microphone: SimulatedMicrophone, tmp_path: Path) -> None:
    model = shutil.copytree(DEMONSTRATION, tmp_path / "vosk-model-cut")
    network = model / "am" / "final.mdl"
    network.write_bytes(network.read_bytes()[:100_000])
    settings = AudioSettings(device=DEVICE_NAME, model=str(model))
    with running_ear(microphone, settings, wait_ready=False) as (_, recorder):
        assert "is damaged: Vosk cannot load it" in recorder.wait(EarLost).reason


def test_another_microphone_than_the_wanted_one_is_not_taken(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone, AudioSettings(device="Jabra"), wait_ready=False) as (_, recorder):
        assert recorder.wait(EarLost).reason == "no microphone is called 'Jabra'; plugged in: 'mic'"


def test_a_channel_that_the_microphone_has_not_is_told(microphone: SimulatedMicrophone) -> None:
    settings = AudioSettings(device=DEVICE_NAME, channel=2)
    with running_ear(microphone, settings, wait_ready=False) as (_, recorder):
        assert "has 1 channel(s), and channel 2 is asked for" in recorder.wait(EarLost).reason


def test_without_an_ear_a_visit_fails_at_once(tmp_path: Path) -> None:
    recorder = Recorder()
    with EarProcess(SETTINGS, recorder, command=[str(tmp_path / "no-such-program")]) as ear:
        assert "cannot be started" in recorder.wait(EarLost).reason
        ear.begin("a")
        assert "cannot be started" in recorder.wait(Failed, timeout_s=2).reason
        ear.finish("a")
        ear.discard("a")
        assert ear.stats().failures == 1


@pytest.mark.parametrize(("rate_hz", "channels"), [(48000, 2), (44100, 1)])
def test_other_rates_and_channels_are_understood(tmp_path: Path, plugin_dir: Path, rate_hz: int, channels: int) -> None:
    with SimulatedMicrophone(
        tmp_path, rate_hz=rate_hz, channels=channels, voice_channel=channels, build_dir=plugin_dir
    ) as microphone:
        settings = AudioSettings(device=DEVICE_NAME, channel=channels)
        with running_ear(microphone, settings) as (ear, recorder):
            ready = recorder.wait(Ready)
            assert (ready.rate_hz, ready.channels) == (rate_hz, channels)
            assert listen(ear, recorder, microphone, "a", "pizza.wav").text == PIZZA
            assert recorder.of(SpeechStarted)


def test_a_restart_takes_other_settings_and_is_no_alarm(
    microphone: SimulatedMicrophone, caplog: pytest.LogCaptureFixture
) -> None:
    with running_ear(microphone) as (ear, recorder):
        since, pid = recorder.mark(), ear.stats().pid
        ear.restart(AudioSettings(device=DEVICE_NAME, language="en-GB"))
        assert recorder.wait(Ready, since).language == "en-GB"
        assert ear.stats().pid != pid
        assert len(recorder.of(EarLost)) == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_stop_leaves_no_process_and_gives_no_more_events(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone) as (ear, recorder):
        pid = ear.stats().pid
        assert pid is not None
        ear.begin("a")
        ear.stop()
        before = recorder.mark()
        assert not is_alive(pid)
        ear.begin("b")
        assert recorder.mark() == before
        ear.start()
        recorder.wait(Ready, before)


def test_the_ear_dies_with_its_parent(microphone: SimulatedMicrophone) -> None:
    program = textwrap.dedent(
        """
        import sys
        from audio.ear_process import EarProcess
        from audio.protocol import Ready
        from audio.settings import AudioSettings

        def show(event):
            if isinstance(event, Ready):
                print(ear.stats().pid, flush=True)

        ear = EarProcess(AudioSettings(device="mic"), show)
        ear.start()
        sys.stdin.read()
        """
    )
    environment = {**os.environ, **microphone.environment()}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    wait_until(lambda: not is_alive(pid), 5)


def test_an_ear_that_prints_without_end_is_made_to_wait() -> None:
    printing = "import os\nwhile True: os.write(2, b'Expression failed in pa_linux_alsa.c ' * 30 + b'\\n')"
    recorder = Recorder()
    with EarProcess(SETTINGS, recorder, command=[sys.executable, "-c", printing]) as ear:
        wait_until(lambda: len(ear.stats().last_words) > 3)
        pid, since_s = ear.stats().pid, time.monotonic()
        printed = _bytes_written(pid)
        wait_until(lambda: time.monotonic() > since_s + 1.0)
        assert _bytes_written(pid) - printed < PIPE_BYTES + 3 * STDERR_BYTES_PER_S
        assert all(len(line) <= STDERR_LINE_CHARS for line in ear.stats().last_words)


def test_a_burst_of_200_megabytes_holds_no_event_up_and_takes_no_memory(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    flooding = textwrap.dedent(
        """
        import os, sys, threading, time
        def flood():
            line = b"x" * 999 + b"\\n"
            for left in range(200_000_000, 0, -100_000):
                os.write(2, line * 100 if left % 1_000_000 else b"y" * 100_000)
        threading.Thread(target=flood, daemon=True).start()
        while True:
            print('{"type":"level","dbfs":-50.0,"peak":0.1}', flush=True)
            time.sleep(0.01)
        """
    )
    recorder = Recorder()
    with EarProcess(SETTINGS, recorder, command=[sys.executable, "-c", flooding]) as ear:
        recorder.wait(Level)
        before_bytes, since, since_s = resident_bytes(), recorder.mark(), time.monotonic()
        wait_until(lambda: recorder.mark() >= since + 200)
        assert time.monotonic() - since_s < 5
        assert resident_bytes() - before_bytes < 4_000_000
        stats = ear.stats()
        assert stats.starts == 1
        assert sum(len(line) for line in stats.last_words) <= 20 * STDERR_LINE_CHARS
        assert str(Path(f"/proc/{stats.pid}/fd/2").readlink()).startswith("pipe:")
    assert sum("xxx" in record.getMessage() for record in caplog.records) <= STDERR_LINES_LOGGED


def test_a_flood_of_lines_that_are_no_events_is_told_a_few_times(caplog: pytest.LogCaptureFixture) -> None:
    printing = 'import sys\nfor _ in range(100_000): print(\'nonsense\')\nprint(\'{"type":"fault","reason":"enough"}\')'
    recorder = Recorder()
    with EarProcess(SETTINGS, recorder, command=[sys.executable, "-c", printing]):
        assert recorder.wait(EarLost).reason == "enough"
    assert sum("no event" in record.getMessage() for record in caplog.records) % (WRONG_LINES_LOGGED + 1) == 0
    assert sum("no event" in record.getMessage() for record in caplog.records) <= 3 * (WRONG_LINES_LOGGED + 1)


def _bytes_written(pid: int | None) -> int:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))


def test_lines_that_are_no_events_do_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    printing = textwrap.dedent(
        """
        import time
        print("Cannot connect to server socket")
        print('{"type":"transcript"}')
        print('{"type":"transcript","visit":"x","text":"a","language":"en","model":"m","confidence":null,"words":[],'
              '"audio_s":1,"speech_s":1,"finalise_ms":1,"too_quiet":false,"too_loud":false}')
        print('{"type":"fault","reason":"enough"}', flush=True)
        time.sleep(60)
        """
    )
    recorder = Recorder()
    with EarProcess(SETTINGS, recorder, command=[sys.executable, "-c", printing]):
        assert recorder.wait(EarLost).reason == "enough"
        assert recorder.of(Transcript) == []
    assert any("no event" in record.getMessage() for record in caplog.records)


def test_a_receiver_that_fails_does_not_stop_the_watch(microphone: SimulatedMicrophone) -> None:
    recorder = Recorder()

    def receive(event: object) -> None:
        recorder(event)  # type: ignore[arg-type]
        raise RuntimeError("a mistake of the receiver")

    with EarProcess(SETTINGS, receive, environment=microphone.environment()):
        recorder.wait(Ready)
        recorder.wait(Level, recorder.mark())


def test_wrong_settings_are_told_by_their_name(microphone: SimulatedMicrophone) -> None:
    with running_ear(microphone, AudioSettings(block_ms=5), wait_ready=False) as (_, recorder):
        assert "block_ms" in recorder.wait(EarLost).reason
