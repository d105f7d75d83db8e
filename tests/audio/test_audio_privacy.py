"""What is left of a visitor's voice when a visit is over: nothing in any file, no sound in any message."""

import json
import os
import signal
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import audio.protocol
import contract.messages
from audio.ear_process import EarProcess
from audio.protocol import Failed, FirstSound, Heartbeat, Interrupted, Ready, Transcript
from audio.settings import AudioSettings
from demo.microphone import DEVICE_NAME, SimulatedMicrophone
from demo.process import Process
from demo.sentences import SENTENCES
from tests.audio.conftest import Recorder, wait_until
from tests.audio.sound_carriers import carriers_in_type, carriers_in_value, message_types
from tests.audio.sound_search import RUN_SAMPLES, Run, SaidSound, memory_of
from tests.audio.spoken import RATE_HZ, pcm, read, trimmed
from tests.conftest import MakeStore

servers = pytest.mark.servers

LOUD_PEAK = 30000
GRAIN_PEAK = 200
"""Of noise under the loud speech, which makes any four samples of it unlike all others."""
NO_NOISE_DBFS = -120.0
LIMIT_S = 60.0
SPOKEN_S = 1.0
"""Of the sentence, when something happens to its visit."""
LEFT_IN_MEMORY_S = 1.0


def loud_speech() -> bytes:
    speech = trimmed(read(next(iter(SENTENCES))))
    grain = np.random.default_rng(1).integers(-GRAIN_PEAK, GRAIN_PEAK, len(speech), endpoint=True)
    return pcm(speech * (LOUD_PEAK / np.abs(speech).max()) + grain)


SPEECH = loud_speech()
SOUND = SaidSound(SPEECH)


def say(microphone: SimulatedMicrophone) -> None:
    """Say the speech to the very sample."""
    path = microphone.directory / "speech.raw"
    path.write_bytes(SPEECH)
    microphone.make_noise(NO_NOISE_DBFS)
    microphone.say(path)


def wait_until_said(microphone: SimulatedMicrophone) -> None:
    assert microphone.wait_until_said(LIMIT_S)
    microphone.make_noise()


class Place:
    """An ear whose every file would lie in one folder, and a microphone whose files lie in another."""

    def __init__(self, folder: Path, microphone: SimulatedMicrophone, ear: EarProcess, recorder: Recorder) -> None:
        self.folder = folder
        self.microphone = microphone
        self.ear = ear
        self.recorder = recorder

    @property
    def pid(self) -> int:
        pid = self.ear.stats().pid
        assert pid is not None
        return pid

    def begin(self, visit: str) -> None:
        """Begin a visit and say a part of the speech."""
        since = self.recorder.mark()
        self.ear.begin(visit)
        self.recorder.wait(FirstSound, since, LIMIT_S)
        frames = self.microphone.frames
        say(self.microphone)
        wait_until(lambda: self.microphone.frames >= frames + SPOKEN_S * RATE_HZ, LIMIT_S)

    def in_descriptors(self) -> dict[str, list[Run]]:
        """What is found in what the ear and its parent have open."""
        but = self.microphone.directory
        return SOUND.in_descriptors(self.pid, but=but) | SOUND.in_descriptors(os.getpid(), but=but)

    def in_files(self) -> dict[str, list[Run]]:
        return SOUND.in_files(self.folder, but=self.microphone.directory)


@pytest.fixture
def place(tmp_path: Path, plugin_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    folder = tmp_path / "machine"
    variables = own_folders(folder)
    monkeypatch.chdir(folder)
    with SimulatedMicrophone(tmp_path / "microphone", build_dir=plugin_dir) as microphone:
        recorder = Recorder()
        environment = {**microphone.environment(), **variables}
        with EarProcess(AudioSettings(device=DEVICE_NAME), recorder, environment=environment) as ear:
            recorder.wait(Ready, timeout_s=LIMIT_S)
            yield Place(folder, microphone, ear, recorder)


def own_folders(folder: Path) -> dict[str, str]:
    """Variables by which a process puts all that it writes of itself into one folder."""
    names = ("TMPDIR", "TMP", "TEMP", "HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME")
    folders = {name: folder / name.lower() for name in names}
    for each in folders.values():
        each.mkdir(parents=True)
    return {name: str(each) for name, each in folders.items()}


# ---------------------------------------------------------------- the search itself


@given(st.binary(max_size=40), st.integers(0, len(SPEECH) // 2 - 200), st.integers(RUN_SAMPLES, 200), st.booleans())
def test_the_search_finds_any_run_of_samples_wherever_it_lies(
    before: bytes, first: int, count: int, as_floats: bool
) -> None:
    piece = np.frombuffer(SPEECH, np.int16)[first : first + count]
    data = before[: len(before) // 4 * 4] if as_floats else before
    data += piece.astype(np.float32).tobytes() if as_floats else piece.tobytes()
    # What lies before may happen to be the sample that was said before.
    assert [run for run in SOUND.runs(data + bytes(9)) if abs(run.first - first) <= 7]


@given(st.binary(max_size=4000))
def test_the_search_finds_nothing_in_other_bytes(data: bytes) -> None:
    assert SOUND.runs(data) == []


def test_the_search_sees_files_that_were_deleted(tmp_path: Path) -> None:
    with (tmp_path / "deleted").open("w+b") as file:
        file.write(b"RIFF-" + SPEECH)
        file.flush()
        assert list(SOUND.in_files(tmp_path, but=tmp_path / "other")) == [str(tmp_path / "deleted")]
        (tmp_path / "deleted").unlink()
        assert SOUND.in_files(tmp_path, but=tmp_path / "other") == {}
        assert list(SOUND.in_descriptors(os.getpid(), but=tmp_path / "other")) == [f"{tmp_path / 'deleted'} (deleted)"]


# ---------------------------------------------------------------- after a visit


def finished(place: Place) -> None:
    wait_until_said(place.microphone)
    place.ear.finish("a")
    assert place.recorder.wait(Transcript, timeout_s=LIMIT_S).speech_s > 0


def discarded(place: Place) -> None:
    place.ear.discard("a")
    wait_until_said(place.microphone)


def failed(place: Place) -> None:
    place.ear.begin("b")
    assert place.recorder.wait(Failed, timeout_s=LIMIT_S).visit == "a"
    wait_until_said(place.microphone)
    place.ear.discard("b")


def killed(place: Place) -> None:
    os.kill(place.pid, signal.SIGKILL)
    place.microphone.make_noise()
    assert place.recorder.wait(Interrupted, timeout_s=LIMIT_S).visit == "a"
    transcript = place.recorder.wait(Transcript, timeout_s=LIMIT_S)
    assert transcript.interrupted
    assert transcript.audio_s >= SPOKEN_S / 2


def killed_and_discarded(place: Place) -> None:
    os.kill(place.pid, signal.SIGKILL)
    place.microphone.make_noise()
    place.recorder.wait(Interrupted, timeout_s=LIMIT_S)
    place.ear.discard("a")
    wait_until(lambda: place.ear.stats().is_ready, LIMIT_S)


@servers
@pytest.mark.parametrize("ending", [finished, discarded, failed, killed, killed_and_discarded])
def test_no_sound_of_a_visit_is_left_in_any_file(place: Place, ending: Callable[[Place], None]) -> None:
    place.begin("a")
    kept = place.in_descriptors()
    assert len(kept) == 1, "the ear keeps the sound of a visit that has no transcript, in memory"
    assert next(iter(kept)).startswith("/memfd:")
    assert place.in_files() == {}
    ending(place)
    wait_until(lambda: place.in_descriptors() == {}, LIMIT_S)
    assert place.in_files() == {}
    assert place.ear.stats().kept_bytes <= 65536, "one page for the signs of life"


@servers
def test_the_preroll_is_overwritten_when_a_visit_takes_it(place: Place) -> None:
    settings = AudioSettings()
    ring_bytes = RATE_HZ * settings.preroll_ms // 1000 * 2
    wait_until(lambda: place.microphone.frames >= RATE_HZ, LIMIT_S)
    frames = place.microphone.frames
    say(place.microphone)
    wait_until(lambda: place.microphone.frames >= frames + RATE_HZ, LIMIT_S)
    before = SOUND.in_memory(memory_of(place.pid, but=place.microphone.directory))
    (ring,) = (start for start, end in joined(before) if end - start >= ring_bytes - 64)
    assert loudest(read_memory(place.pid, ring, ring_bytes)) > LOUD_PEAK / 4
    since = place.recorder.mark()
    place.ear.begin("a")
    assert place.recorder.wait(FirstSound, since, LIMIT_S).preroll_s == settings.preroll_ms / 1000
    assert not any(read_memory(place.pid, ring, ring_bytes))
    wait_until_said(place.microphone)
    place.ear.finish("a")
    assert place.recorder.wait(Transcript, since, LIMIT_S).audio_s > settings.preroll_ms / 1000
    assert loudest(read_memory(place.pid, ring, ring_bytes)) < LOUD_PEAK / 4


@servers
def test_of_a_visit_that_is_over_the_ear_has_only_scraps_in_memory_that_it_has_freed(place: Place) -> None:
    place.begin("a")
    finished(place)
    since = place.recorder.mark()
    place.recorder.wait(Heartbeat, since, LIMIT_S)
    runs = SOUND.in_memory(memory_of(place.pid, but=place.microphone.directory))
    heard = {number for run in runs for number in range(run.first, run.first + run.samples)}
    assert len(heard) / RATE_HZ <= LEFT_IN_MEMORY_S


def joined(runs: Sequence[Run]) -> list[tuple[int, int]]:
    """Stretches of 16-bit samples that all but touch each other."""
    stretches: list[tuple[int, int]] = []
    for run in sorted(run for run in runs if run.sample_bytes == 2):
        if stretches and run.at - stretches[-1][1] <= 32:
            stretches[-1] = (stretches[-1][0], max(run.end, stretches[-1][1]))
        else:
            stretches.append((run.at, run.end))
    return stretches


def read_memory(pid: int, at: int, size: int) -> bytes:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        return os.pread(memory.fileno(), size, at)


def loudest(samples: bytes) -> int:
    return int(np.abs(np.frombuffer(samples, np.int16).astype(np.int32)).max())


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize("module", [audio.protocol, contract.messages], ids=lambda module: module.__name__)
def test_no_message_has_a_field_for_sound(module: types.ModuleType) -> None:
    kinds = message_types(module)
    assert len(kinds) >= 4
    carriers = [one for kind in kinds for one in carriers_in_type(msgspec.inspect.type_info(kind), kind.__name__)]
    assert carriers == []


class Leaky(msgspec.Struct):
    audio: str
    numbers: list[tuple[float, ...]]
    data: dict[str, bytes | None]
    rest: Any


def test_fields_for_sound_are_seen() -> None:
    assert list(carriers_in_type(msgspec.inspect.type_info(Leaky), "")) == [
        ".audio: a text that may be sound",
        ".numbers[][]: numbers",
        ".data{}: bytes",
        ".rest: anything",
    ]


def test_values_that_could_be_sound_are_seen() -> None:
    assert list(carriers_in_value({"a": ["few words", 1, 2], "b": [[*range(9)]], "c": "QUJD" * 20})) == [
        [*range(9)],
        "QUJD" * 20,
    ]


@contextmanager
def written_down(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Every line that crosses between an ear and its parent."""
    lines: list[bytes] = []

    def note_encoded(message: Any) -> bytes:
        line = audio.protocol.encode(message)
        lines.append(line)
        return line

    def note_decoded(line: bytes) -> Any:
        lines.append(line)
        return audio.protocol.decode_event(line)

    with monkeypatch.context() as patch:
        patch.setattr("audio.child.encode", note_encoded)
        patch.setattr("audio.child.decode_event", note_decoded)
        yield lines


@servers
def test_no_line_between_the_ear_and_its_parent_carries_sound(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with written_down(monkeypatch) as lines:
        place.begin("a")
        killed(place)
        wait_until(lambda: place.ear.stats().is_ready, LIMIT_S)
        place.begin("b")
        wait_until_said(place.microphone)
        place.ear.finish("b")
        wait_until(lambda: [one.visit for one in place.recorder.of(Transcript)] == ["a", "b"], LIMIT_S)
    messages = [json.loads(line) for line in lines]
    assert {"start", "begin", "finish", "first_sound", "level", "transcript"} <= {each["type"] for each in messages}
    assert [found for message in messages for found in carriers_in_value(message)] == []


# ---------------------------------------------------------------- the whole kiosk


def ear_of(kiosk: Process) -> int:
    """The ear's process."""
    for task in Path(f"/proc/{kiosk.pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            if b"\0-m\0audio\0" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    raise AssertionError("the kiosk has no ear")


@servers
@pytest.mark.timeout(180)
def test_the_whole_kiosk_leaves_no_sound_of_a_visit_behind(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, folder in own_folders(tmp_path / "machine").items():
        monkeypatch.setenv(name, folder)
    store = make_store(thanks_s=0.5)
    microphone = store.microphone
    assert microphone is not None
    but = microphone.directory
    store.start_panel()
    store.start_kiosk()
    kiosk = store.kiosk
    assert kiosk is not None

    def speak() -> int:
        mark = len(store.happenings)
        store.press()
        store.happenings.wait_for("panel", "scene", scene="recording", since=mark, timeout_s=LIMIT_S)
        frames = microphone.frames
        say(microphone)
        wait_until(lambda: microphone.frames >= frames + SPOKEN_S * RATE_HZ, LIMIT_S)
        return mark

    def assert_nothing_left() -> None:
        ear = ear_of(kiosk)
        wait_until(lambda: not SOUND.in_descriptors(ear, but=but) | SOUND.in_descriptors(kiosk.pid, but=but), LIMIT_S)
        assert SOUND.in_files(tmp_path, but=but) == {}
        assert SOUND.in_memory(memory_of(kiosk.pid, but=but)) == [], "the agent gets words, no sound"

    mark = speak()
    wait_until_said(microphone)
    store.press()
    store.happenings.wait_for("kiosk", "committed", since=mark, timeout_s=LIMIT_S)
    store.happenings.wait_for("panel", "scene", scene="idle", since=mark, timeout_s=LIMIT_S)
    assert_nothing_left()

    mark = speak()
    store.press("cancel")
    wait_until_said(microphone)
    store.happenings.wait_for("panel", "scene", scene="idle", since=mark, timeout_s=LIMIT_S)
    assert_nothing_left()

    mark = speak()
    os.kill(ear_of(kiosk), signal.SIGKILL)
    microphone.make_noise()
    store.happenings.wait_for("kiosk", "committed", since=mark, timeout_s=LIMIT_S)
    store.happenings.wait_for("panel", "scene", scene="idle", since=mark, timeout_s=LIMIT_S)
    assert_nothing_left()

    told = [one.fields for one in store.happenings.since() if one.source in ("kiosk", "panel")]
    assert [found for fields in told for found in carriers_in_value(dict(fields))] == []
