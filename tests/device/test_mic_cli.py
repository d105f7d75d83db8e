"""`kiosk mic`: real PortAudio in front of a simulated microphone; every trouble is one sentence."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
import wave
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from audio.capture_protocol import FoundInput, Inputs, Taken
from audio.sound_cards import Holder, SoundCard
from demo.microphone import SimulatedMicrophone
from demo.sentences import SPEECH
from device.cli.mic.listing import combine
from device.event_feed import SOCKET_NAME
from tests.device.mic_bench import LIMIT_S, REPOSITORY, at_line, command, environment, interrupted, mic, raw, running

pytestmark = pytest.mark.servers

STOP = "sudo systemctl stop voiseback-kiosk"
RATE_HZ = 16000


@pytest.fixture
def microphone(tmp_path: Path, microphone_build: Path) -> Iterator[SimulatedMicrophone]:
    with SimulatedMicrophone(tmp_path / "microphone", build_dir=microphone_build) as simulated:
        yield simulated


@pytest.fixture
def two_channels(tmp_path: Path, microphone_build: Path) -> Iterator[SimulatedMicrophone]:
    with SimulatedMicrophone(tmp_path / "stereo", channels=2, voice_channel=2, build_dir=microphone_build) as simulated:
        yield simulated


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "kiosk.toml"
    path.write_text(f'runtime_dir = "{tmp_path}"\n[audio]\ndevice = "MIC"\n')
    return path


@contextmanager
def running_kiosk(config: Path) -> Iterator[None]:
    """What shows that a kiosk runs: its event feed takes connections."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as feed:
        feed.bind(str(config.parent / SOCKET_NAME))
        feed.listen()
        yield


def the_sentence(done: subprocess.CompletedProcess[str], status: int) -> str:
    assert done.returncode == status, done
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def findings(done: subprocess.CompletedProcess[str], status: int) -> dict[str, dict[str, Any]]:
    assert done.returncode == status, done
    result = json.loads(done.stdout)
    assert result["verdict"] == ["good", "poor", "unknown"][status]
    return {finding["subject"]: finding for finding in result["findings"]}


def poor(found: dict[str, dict[str, Any]]) -> list[str]:
    return [subject for subject, finding in found.items() if finding["verdict"] == "poor"]


# list


def test_list_marks_the_microphone_that_the_kiosk_takes(microphone: SimulatedMicrophone, config: Path) -> None:
    done = mic(environment(microphone), "list", "--config", config)
    assert done.returncode == 0, done
    assert done.stdout.splitlines() == [
        "* mic",
        "    the kiosk takes this one, at 16000 Hz, channel 1",
        '    device = "mic"',
        "    own rate 16000 Hz, 1 channel; opens at 16000",
        "    the system's default",
    ]
    assert done.stderr == ""


def test_list_is_there_for_machines_too(two_channels: SimulatedMicrophone) -> None:
    done = mic(environment(two_channels), "list", "--json")
    assert done.returncode == 0
    listed = json.loads(done.stdout)
    assert listed["setting"] == "mic"
    assert listed["channels"] == 2
    assert listed["rates_hz"] == [RATE_HZ]
    assert listed["taken_hz"] == RATE_HZ


def test_list_says_why_the_kiosk_would_hear_nothing(microphone: SimulatedMicrophone, config: Path) -> None:
    config.write_text(config.read_text().replace("MIC", "webcam"))
    done = mic(environment(microphone), "list", "--config", config)
    assert "no microphone is called 'webcam'; plugged in: 'mic'" in the_sentence(done, 1)
    assert done.stdout.startswith("  mic\n")


def test_without_a_microphone_one_sentence_says_what_to_do(microphone: SimulatedMicrophone, config: Path) -> None:
    microphone.unplug()
    for arguments, status in ((["list"], 1), (["level"], 1), (["test"], 2), (["record", config.parent / "a.wav"], 1)):
        sentence = the_sentence(mic(environment(microphone), *arguments, "--config", config), status)
        assert "no microphone is plugged in" in sentence
        assert "plug one in" in sentence
        assert STOP not in sentence
    assert not (config.parent / "a.wav").exists()


def test_a_running_kiosk_is_named_as_the_one_that_holds_the_microphone(
    microphone: SimulatedMicrophone, config: Path
) -> None:
    microphone.unplug()  # as PortAudio shows one that another program holds: not at all
    with running_kiosk(config):
        for arguments, status in ((["list"], 1), (["level"], 1), (["test"], 2)):
            sentence = the_sentence(mic(environment(microphone), *arguments, "--config", config), status)
            assert f"`{STOP}`" in sentence
            assert "start it again" in sentence


def found(name: str, **changes: Any) -> FoundInput:
    fields = {"own_hz": 48000, "channels": 1, "rates_hz": (48000,), "is_busy": False, "is_default": False}
    return FoundInput(name=name, **{**fields, **changes})


def test_two_microphones_of_the_same_name_are_told_apart_by_their_sockets() -> None:
    inputs = Inputs(
        found=(found("USB: Audio (hw:1,0)"), found("USB: Audio (hw:2,0)"), found("default")),
        taken=Taken(position=0, rate_hz=48000),
        reason=None,
    )
    cards = [SoundCard(1, "USB", "usb-1.2", ()), SoundCard(2, "USB", "usb-1.4", ())]
    listed = combine(inputs, cards)
    assert [(one.setting, one.same_name, one.socket, one.taken_hz) for one in listed] == [
        ("usb-1.2", 1, "usb-1.2", 48000),
        ("usb-1.4", 1, "usb-1.4", None),
        ("default", 0, None, None),
    ]
    without_sockets = combine(inputs, [SoundCard(1, "USB", None, ()), SoundCard(2, "USB", None, ())])
    assert [one.setting for one in without_sockets] == [None, None, "default"]


def test_a_microphone_that_another_program_holds_is_listed_with_that_program() -> None:
    inputs = Inputs(found=(found("Webcam: Audio (hw:2,0)"),), taken=None, reason="no microphone is called 'USB'")
    holder = Holder(0, "Audio", 812, "python3")
    listed = combine(inputs, [SoundCard(1, "USB", "usb-1.2", (holder,)), SoundCard(2, "Webcam", "usb-1.4", ())])
    assert [(one.name, one.is_busy, one.holder) for one in listed] == [
        ("Webcam: Audio (hw:2,0)", False, None),
        ("USB: Audio (hw:1,0)", True, holder),
    ]
    assert listed[1].setting == "USB: Audio"


def test_of_a_card_with_several_inputs_the_socket_means_the_first() -> None:
    names = ("Array: Audio (hw:1,0)", "Array: Audio (hw:1,1)", "Array: Audio (hw:2,0)")
    inputs = Inputs(found=tuple(map(found, names)), taken=None, reason=None)
    listed = combine(inputs, [SoundCard(1, "Array", "usb-1.2", ()), SoundCard(2, "Array", "usb-1.4", ())])
    assert [one.setting for one in listed] == ["usb-1.2", None, "usb-1.4"]


# test


def test_a_good_microphone_passes_with_every_property(microphone: SimulatedMicrophone, config: Path) -> None:
    with running(environment(microphone), "test", "--seconds", "1.5", "--config", config) as process:
        at_line(process, "Be silent for 1.5 s")
        at_line(process, "Speak for 1.5 s")
        microphone.say(SPEECH / "flowers.wav")
        output, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, output + errors
    for subject in ("noise floor", "DC offset", "hum", "clipping", "lost sound", "speech level", "speech over noise"):
        assert re.search(rf"^  good +{subject} ", output, re.MULTILINE), output
    assert output.splitlines()[-1] == "GOOD"


def test_speech_that_is_too_loud_or_missing_is_poor(microphone: SimulatedMicrophone, tmp_path: Path) -> None:
    with wave.open(str(SPEECH / "flowers.wav")) as file:
        samples = array("h", file.readframes(file.getnframes()))
    loud = raw(tmp_path / "loud.raw", [max(-32768, min(32767, 12 * sample)) for sample in samples])
    for sound, advice in ((loud, "too loud"), (None, "No speech was heard")):
        with running(environment(microphone), "test", "--seconds", "3") as process:
            at_line(process, "Speak for 3 s")
            if sound:
                microphone.say(sound)
            output, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 1, output
        assert advice in output
        assert output.splitlines()[-1] == "POOR: speech level"


def test_a_dead_microphone_is_poor(microphone: SimulatedMicrophone) -> None:
    microphone.mute()
    done = mic(environment(microphone), "test", "--seconds", 1, "--silence-only", "--json")
    assert poor(findings(done, 1)) == ["signal"]
    assert "Be silent" in done.stderr


def test_an_offset_is_poor(microphone: SimulatedMicrophone, tmp_path: Path) -> None:
    microphone.say(raw(tmp_path / "offset.raw", [1500] * RATE_HZ * 10))
    done = mic(environment(microphone), "test", "--seconds", 1, "--silence-only", "--json")
    result = findings(done, 1)
    assert poor(result) == ["DC offset"]
    assert result["DC offset"]["value"].startswith("+4.58 %")


def test_clipping_without_speech_is_poor_and_is_that_of_the_kiosks_channel(
    two_channels: SimulatedMicrophone, tmp_path: Path
) -> None:
    spikes = ([0] * 1599 + [32767]) * 100  # so few that the noise floor is as it was
    two_channels.say(raw(tmp_path / "spikes.raw", spikes))
    arguments = ("test", "--seconds", 1, "--silence-only", "--json")
    for channel, status in ((2, 1), (1, 0)):
        two_channels.say(raw(tmp_path / "spikes.raw", spikes))
        done = mic(environment(two_channels), *arguments, "--channel", channel)
        assert findings(done, status)["clipping"]["verdict"] == ["good", "poor"][status]
        assert [one["clipped"] > 0 for one in json.loads(done.stdout)["measured"]["channels"]] == [False, True]


def test_hum_is_poor(microphone: SimulatedMicrophone, tmp_path: Path) -> None:
    square = ([400] * 160 + [-400] * 160) * 500  # 50 Hz
    microphone.say(raw(tmp_path / "hum.raw", square))
    result = findings(mic(environment(microphone), "test", "--seconds", 1, "--silence-only", "--json"), 1)
    assert "hum" in poor(result)
    assert "at 50 Hz" in result["hum"]["value"]


def test_a_rate_that_is_not_kept_is_poor(microphone: SimulatedMicrophone) -> None:
    microphone.run_at(14000)
    done = mic(environment(microphone), "test", "--seconds", 3, "--silence-only", "--json")
    assert "sample rate" in poor(findings(done, 1))
    timing = json.loads(done.stdout)["measured"]["timing"]
    assert abs(timing["rate_hz"] - 14000) <= timing["rate_error_hz"]


def test_a_mix_of_all_channels_is_tested_as_the_kiosk_hears_it(
    two_channels: SimulatedMicrophone, tmp_path: Path
) -> None:
    two_channels.say(raw(tmp_path / "offset.raw", [3000] * RATE_HZ * 10))
    done = mic(environment(two_channels), "test", "--seconds", 1, "--silence-only", "--json", "--channel", "mix")
    result = findings(done, 1)
    assert poor(result) == ["DC offset"]
    assert result["DC offset"]["value"].startswith("+4.58 %")
    assert [one["channel"] for one in json.loads(done.stdout)["measured"]["channels"]] == [1, 2, "mix"]


def test_lost_sound_is_poor(microphone: SimulatedMicrophone) -> None:
    with running(environment(microphone), "test", "--seconds", "2", "--silence-only") as process:
        at_line(process, "Be silent")
        microphone.overrun()
        output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    assert "POOR     lost sound" in output
    assert re.search(r"overflows: [1-9]", output)


def test_a_microphone_that_is_unplugged_could_not_be_tested(microphone: SimulatedMicrophone) -> None:
    with running(environment(microphone), "test") as process:
        at_line(process, "Be silent")
        microphone.unplug()
        _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert "unplugged" in errors
    assert len(errors.splitlines()) == 1


# level


def test_level_prints_a_line_a_second_where_there_is_no_terminal(microphone: SimulatedMicrophone) -> None:
    done = mic(environment(microphone), "level", "--seconds", 2.5)
    assert done.returncode == 0, done
    title, *lines, last = done.stdout.splitlines()
    assert title == "mic, 16000 Hz, channel 1"
    assert len(lines) == 2
    assert all(re.fullmatch(r" -7\d dBFS   peak  -7\d   silent", line) for line in lines), lines
    assert last.startswith("loudest -7")


def test_level_ends_well_when_its_reader_goes(microphone: SimulatedMicrophone) -> None:
    with running(environment(microphone), "level") as process:
        at_line(process, "16000 Hz")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(LIMIT_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stdout = None


class Terminal:
    """`kiosk mic` in a terminal of its own."""

    def __init__(self, microphone: SimulatedMicrophone, *arguments: object, **variables: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        self.text = ""
        known = {name: value for name, value in environment(microphone).items() if name != "NO_COLOR"}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command(*arguments)],
            cwd=REPOSITORY,
            env={**known, "TERM": "xterm", **variables},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )

    def wait_for(self, part: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while part not in self.text:
            assert time.monotonic() < deadline, self.text[-3000:]
            self._read(0.1)

    def ends(self) -> int:
        """Wait for the end of the command; its status."""
        deadline = time.monotonic() + LIMIT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text[-3000:]
            self._read(0.05)
        while self._read(0.05):
            pass
        return self.process.returncode

    def type(self, text: bytes) -> None:
        os.write(self._master, text)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self.slave)

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._master], [], [], timeout_s)[0]:
            return False
        self.text += os.read(self._master, 65536).decode(errors="replace")
        return True


@contextmanager
def terminal(microphone: SimulatedMicrophone, *arguments: object, **variables: str) -> Iterator[Terminal]:
    opened = Terminal(microphone, *arguments, **variables)
    try:
        yield opened
    finally:
        opened.close()


def assert_restored(opened: Terminal) -> None:
    assert termios.tcgetattr(opened.slave) == opened.before
    assert opened.text.rindex("\x1b[?1049l") > opened.text.rindex("\x1b[?1049h")
    assert opened.text.rindex("\x1b[?25h") > opened.text.rindex("\x1b[?25l")


def test_level_draws_the_terminal_and_ctrl_c_gives_it_back(microphone: SimulatedMicrophone) -> None:
    with terminal(microphone, "level") as opened:
        opened.wait_for("nothing is heard")
        assert "████████████" in opened.text
        microphone.say(SPEECH / "flowers.wav")
        opened.wait_for("\x1b[32m")
        opened.wait_for("as it should be")
        opened.type(b"\x03")
        assert opened.ends() == 0
        assert_restored(opened)
        assert "loudest -" in opened.text.rpartition("\x1b[?1049l")[2]


def test_level_uses_no_colour_where_none_is_wanted(microphone: SimulatedMicrophone) -> None:
    with terminal(microphone, "level", NO_COLOR="1") as opened:
        microphone.say(SPEECH / "flowers.wav")
        opened.wait_for("as it should be")
        opened.type(b"\x03")
        opened.ends()
        assert "\x1b[3" not in opened.text
        assert "\x1b[1;3" not in opened.text


@pytest.mark.parametrize("ending", ["unplug", "SIGTERM"])
def test_level_gives_the_terminal_back_however_it_ends(microphone: SimulatedMicrophone, ending: str) -> None:
    with terminal(microphone, "level") as opened:
        opened.wait_for("nothing is heard")
        if ending == "unplug":
            microphone.unplug()
            assert opened.ends() == 1
            assert "unplugged" in opened.text.rpartition("\x1b[?1049l")[2]
        else:
            opened.process.send_signal(signal.SIGTERM)
            assert opened.ends() == 0
        assert_restored(opened)


def test_level_draws_nothing_on_a_terminal_that_cannot(microphone: SimulatedMicrophone) -> None:
    with terminal(microphone, "level", "--seconds", "1.5", TERM="dumb") as opened:
        assert opened.ends() == 0
        assert "\x1b" not in opened.text
        assert "silent" in opened.text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--rate", 44100), "does not open at 44100 Hz; it opens at 16000 Hz"),
        (("--device", "webcam"), "no microphone is called 'webcam'"),
        (("--channel", 2), "has 1 channel(s), and channel 2 is asked for"),
    ],
)
def test_what_the_microphone_cannot_do_is_one_sentence(
    microphone: SimulatedMicrophone, arguments: tuple[object, ...], reason: str
) -> None:
    assert reason in the_sentence(mic(environment(microphone), "level", *arguments), 1)


@pytest.mark.parametrize("arguments", [("--channel", "0"), ("--rate", "cd"), ("--seconds", "nan"), ("--seconds", "-1")])
def test_an_option_that_makes_no_sense_is_refused(arguments: tuple[str, str]) -> None:
    done = mic(os.environ, "level", *arguments)
    assert done.returncode == 2
    assert repr(arguments[1]) in done.stderr.splitlines()[-1]


# record


def frames_of(path: Path) -> tuple[int, int, "array[int]"]:
    with wave.open(str(path)) as file:
        assert file.getsampwidth() == 2
        sound = array("h", file.readframes(file.getnframes()))
        assert len(sound) == file.getnframes() * file.getnchannels()
        return file.getframerate(), file.getnchannels(), sound


def test_record_writes_what_the_kiosk_hears_for_its_owner_alone(
    two_channels: SimulatedMicrophone, tmp_path: Path
) -> None:
    path = tmp_path / "a.wav"
    done = mic(environment(two_channels), "record", path, "--seconds", 1)
    assert done.returncode == 0, done
    rate_hz, channels, sound = frames_of(path)
    assert (rate_hz, channels, len(sound)) == (RATE_HZ, 1, RATE_HZ)
    assert path.stat().st_mode & 0o777 == 0o600
    assert re.search(r": 1\.0 s, 16000 Hz, 1 channel, -7\d dBFS, peak -7\d$", done.stdout.strip())
    assert "holds the voices of people" in done.stderr


def test_record_takes_the_channel_of_the_kiosk_or_all(two_channels: SimulatedMicrophone, tmp_path: Path) -> None:
    offset = raw(tmp_path / "offset.raw", [8000] * RATE_HZ * 5)
    path = tmp_path / "a.wav"
    for option, seen in ((("--channel", 2), [True]), (("--channel", 1), [False]), (("--all-channels",), [False, True])):
        two_channels.say(offset)
        done = mic(environment(two_channels), "record", path, "--seconds", 1, "--force", *option)
        assert done.returncode == 0, done
        _, channels, sound = frames_of(path)
        assert len(sound) == RATE_HZ * channels
        assert [min(sound[-2000 + number :: channels]) > 7900 for number in range(channels)] == seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_recording_that_is_ended_is_whole(microphone: SimulatedMicrophone, tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.wav"
    with running(environment(microphone), "record", path) as process:
        grown(path)
        output, _ = interrupted(process, number)
        assert process.returncode == 0
    sound = frames_of(path)[2]
    assert path.stat().st_size == 44 + 2 * len(sound)
    assert f"{len(sound) / RATE_HZ:.1f} s" in output


def grown(path: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not (path.exists() and path.stat().st_size > 10000):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_recording_is_whole_even_when_its_process_is_killed(microphone: SimulatedMicrophone, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with running(environment(microphone), "record", path) as process:
        grown(path)
        process.kill()
        process.wait()
    assert len(frames_of(path)[2]) >= 4000


def test_an_earlier_file_is_replaced_by_force_alone_and_only_by_sound(
    microphone: SimulatedMicrophone, tmp_path: Path
) -> None:
    path = tmp_path / "a.wav"
    path.write_text("earlier")
    path.chmod(0o644)
    assert "--force" in the_sentence(mic(environment(microphone), "record", path, "--seconds", 0.2), 1)
    microphone.unplug()
    assert mic(environment(microphone), "record", path, "--force").returncode == 1
    assert path.read_text() == "earlier"
    microphone.replug()
    assert mic(environment(microphone), "record", path, "--seconds", 0.2, "--force").returncode == 0
    assert len(frames_of(path)[2]) == RATE_HZ // 5
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_recording_of_an_unplugged_microphone_is_kept(microphone: SimulatedMicrophone, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with running(environment(microphone), "record", path) as process:
        grown(path)
        microphone.unplug()
        _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    assert "unplugged" in errors
    assert len(frames_of(path)[2]) >= 4000


def test_a_place_that_takes_no_file_is_one_sentence(microphone: SimulatedMicrophone, tmp_path: Path) -> None:
    nowhere = tmp_path / "none" / "a.wav"
    assert f"there is no folder {nowhere.parent}" in the_sentence(mic(environment(microphone), "record", nowhere), 1)
    assert "it is no file" in the_sentence(mic(environment(microphone), "record", tmp_path), 1)


def test_a_full_disk_is_one_sentence_and_what_was_recorded_is_kept(
    microphone: SimulatedMicrophone, tmp_path: Path
) -> None:
    path = tmp_path / "a.wav"
    done = mic(
        environment(microphone),
        "record",
        path,
        under=["prlimit", "--fsize=20000"],
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"{path}: File too large" in done.stderr
    with wave.open(str(path)) as file:
        assert file.getnframes() > 8000
