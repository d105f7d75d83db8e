"""Several languages, each with a model: the account of them, their budget, and the real ear with two."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from audio.ear_process import EAR_COMMAND, EarProcess
from audio.languages import Languages
from audio.loaded_models import LoadedModels, NoRoomError
from audio.model import DEMONSTRATION, Model, ModelError, find_model
from audio.model_memory import BYTES_PER_FOLDER_BYTE, MB, estimate_bytes, resident_bytes
from audio.protocol import (
    EarLost,
    FirstSound,
    LanguageReady,
    LanguageUnusable,
    Level,
    Ready,
    Transcript,
)
from audio.settings import AudioSettings
from audio.vigil import EarLimits
from demo.microphone import DEVICE_NAME, SimulatedMicrophone
from tests.audio.conftest import SPEECH, Recorder, wait_until
from tests.audio.faulty_ear import Faults

PIZZA = "we come every friday for the pizza"
LIMITS = EarLimits(language_first_s=1.0, language_max_s=10.0, language_deadly_s=600.0)
TWO = AudioSettings(models={"de": "/m/de"})


# ---------------------------------------------------------------- the account


def languages(settings: AudioSettings = TWO) -> Languages:
    return Languages(settings, LIMITS, draw=lambda _low, high: high)


def ready(language: str, memory_mb: float = 100.0) -> LanguageReady:
    return LanguageReady(language=language, model=language, model_is_demonstration=False, memory_mb=memory_mb)


def using_en() -> Languages:
    account = languages()
    assert account.begin(0.0) == "en"
    account.ready(ready("en"))
    return account


def test_an_ear_begins_with_the_default_language_and_is_asked_for_no_other() -> None:
    account = using_en()
    assert account.in_use == "en"
    assert account.due(1.0) is None


def test_a_wanted_language_is_asked_for_once() -> None:
    account = using_en()
    assert account.want("de", 1.0) is None
    assert account.due(1.0) == "de"
    assert account.due(1.1) is None
    account.ready(ready("de"))
    assert account.in_use == "de"
    assert account.due(2.0) is None


def test_a_language_in_use_is_confirmed_when_it_is_wanted_again() -> None:
    account = using_en()
    account.want("en", 1.0)
    assert account.due(1.0) == "en"


def test_a_language_without_a_model_is_refused_at_once() -> None:
    assert using_en().want("fr", 1.0) == "no model is set for the language 'fr'; there are models for: en, de"


def test_an_unusable_language_is_given_up_for_the_one_in_use() -> None:
    account = using_en()
    account.want("de", 1.0)
    account.due(1.0)
    assert account.refused("de", "no such folder", 1.0)
    assert account.due(100.0) is None
    assert account.in_use == "en"
    assert [(one.language, one.state, one.reason) for one in account.stats()] == [
        ("en", "in_use", None),
        ("de", "unusable", "no such folder"),
    ]


def test_an_unusable_language_can_be_wanted_again_at_any_time() -> None:
    account = using_en()
    for now_s in (1.0, 1.1):
        assert account.want("de", now_s) is None
        assert account.due(now_s) == "de"
        assert account.refused("de", "no such folder", now_s), "who asks is answered"


def test_a_language_whose_loading_ended_an_ear_is_refused_until_its_time() -> None:
    account = using_en()
    account.want("de", 1.0)
    account.due(1.0)
    account.refused("de", "the ear was lost", 1.0, is_deadly=True)
    assert account.want("de", 1.9) == "the ear was lost"
    assert account.begin(1.9) == "en"
    assert account.blocked(1.9) == ("de",)
    account.ready(ready("en"))
    assert account.want("de", 2.1) is None


def test_the_only_language_is_tried_again_for_ever_and_ever_more_seldom() -> None:
    account = languages(AudioSettings())
    now_s, tries_s = 0.0, []
    assert account.begin(now_s) == "en"
    while now_s < 3600:
        account.refused("en", "the ear was lost", now_s, is_deadly=True)
        tries_s.append(now_s)
        assert account.begin(now_s) is None
        while account.due(now_s) is None:
            now_s += 0.1
    pauses_s = [round(after - before) for before, after in pairwise(tries_s)]
    assert pauses_s[:5] == [1, 2, 4, 8, 16]
    assert max(pauses_s) == 600


def test_a_refused_model_costs_a_look_at_its_folder_every_ten_seconds() -> None:
    account = languages(AudioSettings())
    account.begin(0.0)
    news = []
    for now_s in range(0, 100, 20):
        news.append(account.refused("en", "no such folder", now_s))
        assert account.due(now_s) is None
        assert account.due(now_s + 10.1) == "en"
    assert news == [True, False, False, False, False]


def test_a_new_ear_begins_with_the_wanted_language_and_then_with_the_last_good_one() -> None:
    account = using_en()
    account.want("de", 1.0)
    account.due(1.0)
    account.ready(ready("de"))
    account.lost()
    assert account.begin(2.0) == "de"
    account.refused("de", "the ear was lost", 2.0, is_deadly=True)
    assert account.begin(2.1) == "en"


def test_a_language_without_room_waits_for_a_new_ear() -> None:
    account = using_en()
    account.want("de", 1.0)
    account.due(1.0)
    account.no_room("de")
    assert account.needs_new_ear
    assert account.due(2.0) is None
    assert account.begin(3.0) == "de"
    assert not account.needs_new_ear
    assert account.measured_mb == {"en": 100.0}


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["want en", "want de", "ready", "refuse", "die", "no room", "lost"]), st.floats(0, 30)),
    max_size=40,
)


@hypothesis_settings(max_examples=150)
@given(ACTIONS)
def test_whatever_happens_some_language_is_asked_for_in_the_end(actions: list[tuple[str, float]]) -> None:
    account, now_s = languages(), 0.0
    asked = account.begin(now_s)
    for action, seconds in actions:
        now_s += seconds
        asked = asked or account.due(now_s)
        if action.startswith("want"):
            account.want(action[-2:], now_s)
        elif action == "lost" or account.needs_new_ear:
            asked = account.begin(now_s)
        elif asked is not None:
            if action == "ready":
                account.ready(ready(asked))
            elif action == "refuse":
                account.refused(asked, "no", now_s)
            elif action == "no room" and account.in_use not in {None, asked}:
                account.no_room(asked)
            elif action == "die":
                account.refused(asked, "died", now_s, is_deadly=True)
                account.begin(now_s)
            asked = account.loading
    if account.needs_new_ear:
        account.begin(now_s)
    assert account.in_use or account.loading or account.due(now_s + 601)


# ---------------------------------------------------------------- the budget


class FakeModel:
    def __init__(self, model: Model, memory_mb: float) -> None:
        self.model = model
        self.memory_bytes = round(memory_mb * MB)


def models(settings: AudioSettings, *, estimate_mb: float, takes_mb: float, **measured_mb: float) -> LoadedModels:
    def load(folder: Path | None) -> Any:
        return FakeModel(find_model(folder), takes_mb)

    return LoadedModels(settings, measured_mb, load_model=load, estimate=lambda _: round(estimate_mb * MB))


def two(memory_mb: int) -> AudioSettings:
    return AudioSettings(models={"de": str(DEMONSTRATION)}, memory_mb=memory_mb)


def test_models_that_fit_together_are_loaded_together() -> None:
    loaded = models(two(500), estimate_mb=300, takes_mb=200)
    assert loaded.load("en") is loaded.load("en")
    assert loaded.load("de").model.path == DEMONSTRATION
    assert loaded.get("de") is not None


def test_a_model_that_does_not_fit_beside_the_others_has_no_room() -> None:
    loaded = models(two(400), estimate_mb=300, takes_mb=200)
    loaded.load("en")
    with pytest.raises(NoRoomError, match="takes about 300 MB; 200 of 400 MB are taken"):
        loaded.load("de")
    assert loaded.get("de") is None
    assert models(two(400), estimate_mb=300, takes_mb=200).load("de")


def test_what_was_measured_counts_more_than_the_estimate() -> None:
    loaded = models(two(400), estimate_mb=300, takes_mb=200, de=190)
    loaded.load("en")
    assert loaded.load("de")


def test_a_model_beyond_the_whole_budget_is_unusable_but_for_the_default_language() -> None:
    loaded = models(two(200), estimate_mb=300, takes_mb=300)
    with pytest.raises(ModelError, match="takes about 300 MB, and 200 MB are allowed; use a smaller one, or raise"):
        loaded.load("de")
    assert loaded.load("en")


def test_a_language_without_a_model_is_told() -> None:
    with pytest.raises(ModelError, match="no model is set for the language 'fr'"):
        models(two(200), estimate_mb=1, takes_mb=1).load("fr")


def test_a_model_is_estimated_by_the_size_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "am").mkdir()
    (tmp_path / "am" / "final.mdl").write_bytes(bytes(1000))
    (tmp_path / "README").write_bytes(bytes(500))
    (tmp_path / "dangling").symlink_to("nowhere")
    assert estimate_bytes(tmp_path) == 1500 * BYTES_PER_FOLDER_BYTE
    assert resident_bytes() > 10 * MB


# ---------------------------------------------------------------- the real ear


@pytest.fixture
def german(tmp_path: Path) -> Path:
    """A second language's model: the demonstration model under another name."""
    return shutil.copytree(DEMONSTRATION, tmp_path / "model-de")


@contextmanager
def ear_with(
    microphone: SimulatedMicrophone,
    german: Path,
    *,
    memory_mb: int = 700,
    faults: Faults | None = None,
    wait_ready: bool = True,
) -> Iterator[tuple[EarProcess, Recorder]]:
    recorder = Recorder()
    settings = AudioSettings(device=DEVICE_NAME, models={"de": str(german)}, memory_mb=memory_mb)
    command = faults.command if faults else EAR_COMMAND
    with EarProcess(settings, recorder, command=command, environment=microphone.environment()) as ear:
        if wait_ready:
            recorder.wait(Ready)
        yield ear, recorder


def visit(ear: EarProcess, recorder: Recorder, microphone: SimulatedMicrophone, name: str) -> Transcript:
    since = recorder.mark()
    ear.begin(name)
    recorder.wait(FirstSound, since)
    microphone.say(SPEECH / "pizza.wav")
    assert microphone.wait_until_said(20)
    ear.finish(name)
    return recorder.wait(Transcript, since)


@pytest.mark.servers
def test_a_language_is_loaded_when_it_is_wanted_while_the_microphone_stays_open(
    microphone: SimulatedMicrophone, german: Path
) -> None:
    with ear_with(microphone, german) as (ear, recorder):
        pid, starts, since = ear.stats().pid, microphone.starts, recorder.mark()
        ear.use_language("de")
        loaded = recorder.wait(LanguageReady, since)
        assert (loaded.language, loaded.model, loaded.model_is_demonstration) == ("de", "model-de", False)
        assert 5 < loaded.memory_mb < 100
        transcript = visit(ear, recorder, microphone, "a")
        assert (transcript.text, transcript.language, transcript.model) == (PIZZA, "de", "model-de")
        since = recorder.mark()
        ear.use_language("en")
        assert recorder.wait(LanguageReady, since).model_is_demonstration
        assert visit(ear, recorder, microphone, "b").language == "en"
        stats = ear.stats()
        assert (stats.pid, microphone.starts, stats.language) == (pid, starts, "en")
        assert [(one.language, one.state) for one in stats.languages] == [("en", "in_use"), ("de", "loaded")]
        assert all(one.memory_mb for one in stats.languages)
        assert recorder.of(EarLost) == []


@pytest.mark.servers
def test_a_model_without_room_beside_the_others_gets_a_new_ear_which_remembers_what_was_measured(
    microphone: SimulatedMicrophone, german: Path
) -> None:
    with ear_with(microphone, german, memory_mb=55) as (ear, recorder):
        since = recorder.mark()
        ear.use_language("de")
        assert "no room beside the others" in recorder.wait(EarLost, since).reason
        assert recorder.wait(Ready, since).language == "de"
        assert visit(ear, recorder, microphone, "a").language == "de"
        pid, since = ear.stats().pid, recorder.mark()
        ear.use_language("en")
        assert recorder.wait(LanguageReady, since).language == "en"
        assert ear.stats().pid == pid, "both fit by what they were seen to take"
        assert recorder.of(LanguageUnusable) == []


@pytest.mark.servers
def test_an_unusable_language_leaves_the_one_in_use(microphone: SimulatedMicrophone, german: Path) -> None:
    hidden = german.rename(german.with_name("hidden"))
    with ear_with(microphone, german) as (ear, recorder):
        ear.use_language("de")
        unusable = recorder.wait(LanguageUnusable)
        assert unusable.reason == f"there is no model at {german}; install one, or correct the path"
        ear.use_language("fr")
        wait_until(lambda: len(recorder.of(LanguageUnusable)) == 2)
        assert "no model is set for the language 'fr'" in recorder.of(LanguageUnusable)[1].reason
        assert visit(ear, recorder, microphone, "a").language == "en"
        hidden.rename(german)
        since = recorder.mark()
        ear.use_language("de")
        recorder.wait(LanguageReady, since)
        assert ear.stats().starts == 1


@pytest.mark.servers
def test_a_model_whose_loading_ends_the_ear_takes_no_other_language_down(
    microphone: SimulatedMicrophone, german: Path, tmp_path: Path
) -> None:
    faults = Faults(tmp_path / "faults")
    with ear_with(microphone, german, faults=faults) as (ear, recorder):
        faults.arm("abort", "load-model-de", times=2)
        since = recorder.mark()
        ear.use_language("de")
        unusable = recorder.wait(LanguageUnusable, since)
        assert unusable.language == "de"
        assert "was lost while it loaded the model of 'de', which may be damaged" in unusable.reason
        assert recorder.wait(Ready, since).language == "en"
        # Who asks again is answered: at once before its time has come, else after the next death.
        since = recorder.mark()
        ear.use_language("de")
        recorder.wait(LanguageUnusable, since)
        wait_until(lambda: ear.stats().is_ready)
        assert visit(ear, recorder, microphone, "a").text == PIZZA

        def is_there() -> bool:
            ear.use_language("de")
            return bool(recorder.of(LanguageReady, since)) and ear.stats().language == "de"

        wait_until(is_there)
        assert faults.left("abort", "load-model-de") == 0
        assert ear.stats().starts == 3


@pytest.mark.servers
def test_a_default_model_whose_loading_ends_the_ear_is_tried_again_while_the_microphone_is_heard(
    microphone: SimulatedMicrophone, german: Path, tmp_path: Path
) -> None:
    faults = Faults(tmp_path / "faults")
    faults.arm("abort", f"load-{DEMONSTRATION.name}", times=2)
    with ear_with(microphone, german, faults=faults, wait_ready=False) as (ear, recorder):
        lost = recorder.wait(EarLost)
        assert recorder.wait(LanguageUnusable).language == "en"
        recorder.wait(Level)
        ready_event = recorder.wait(Ready)
        assert ready_event.language == "en"
        assert ear.stats().starts == 3, "each death is followed by an ear that has no model at first"
        assert recorder.of(EarLost) == [lost]


@pytest.mark.servers
def test_a_language_that_is_wanted_while_somebody_speaks_waits_for_the_end_of_the_visit(
    microphone: SimulatedMicrophone, german: Path
) -> None:
    with ear_with(microphone, german) as (ear, recorder):
        since = recorder.mark()
        ear.begin("a")
        recorder.wait(FirstSound, since)
        ear.use_language("de")
        microphone.say(SPEECH / "pizza.wav")
        assert microphone.wait_until_said(20)
        assert recorder.of(LanguageReady, since) == []
        ear.finish("a")
        assert recorder.wait(Transcript, since).language == "en"
        assert recorder.wait(LanguageReady, since).language == "de"


@pytest.mark.servers
def test_an_interrupted_visit_is_understood_in_its_own_language(
    microphone: SimulatedMicrophone, german: Path, tmp_path: Path
) -> None:
    faults = Faults(tmp_path / "faults")
    with ear_with(microphone, german, faults=faults) as (ear, recorder):
        ear.use_language("de")
        wait_until(lambda: ear.stats().language == "de")
        faults.arm("abort", "finish")
        since = recorder.mark()
        transcript = visit(ear, recorder, microphone, "a")
        assert (transcript.text, transcript.language, transcript.interrupted) == (PIZZA, "de", True)
        assert recorder.wait(Ready, since).language == "de"
