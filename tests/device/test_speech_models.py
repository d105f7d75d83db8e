import logging
import shutil
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from audio.model import DEMONSTRATION
from audio.models.change import Change
from audio.models.install import Installer, Order
from audio.models.shelf import Shelf
from audio.models.web import Web
from audio.settings import AudioSettings
from contract.credentials import BrokerCredentials, write
from device import kiosk as kiosk_module
from device.kiosk import Kiosk
from device.settings import KioskSettings
from device.speech_models import SpeechModels, choose, hold_all, shelf_of
from tests.audio.model_archives import Recorder, small_zip, try_nothing


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return shelf_of(KioskSettings(state_dir=str(tmp_path / "state")))


def install(shelf: Shelf, tmp_path: Path, name: str, language: str) -> str:
    archive = tmp_path / f"{name}.zip"
    archive.write_bytes(small_zip(name))
    with Change(shelf) as change:
        installer = Installer(
            change, lambda: pytest.fail("the catalogue was asked"), Web(), Recorder(), try_model=try_nothing
        )
        outcome = installer.install(Order(target=str(archive), language=language))
    return str(outcome.installed.path.resolve())


def test_what_the_settings_name_comes_first(shelf: Shelf, tmp_path: Path) -> None:
    install(shelf, tmp_path, "one", "en")
    audio = AudioSettings(model="/opt/model")
    assert choose(audio, shelf) == SpeechModels(audio, ())


def test_without_a_setting_the_active_model_of_the_language_is_taken(shelf: Shelf, tmp_path: Path) -> None:
    path = install(shelf, tmp_path, "one", "en-us")
    chosen = choose(AudioSettings(language="en-GB"), shelf)
    assert chosen.audio.model == path
    assert chosen.warnings == ()
    assert not chosen.is_demonstration


def test_further_languages_are_those_of_the_shelf(shelf: Shelf, tmp_path: Path) -> None:
    install(shelf, tmp_path, "one", "en")
    eins = install(shelf, tmp_path, "eins", "de")
    install(shelf, tmp_path, "un", "fr")
    chosen = choose(AudioSettings(models={"fr-CA": "/opt/french"}), shelf)
    assert chosen.audio.models == {"fr-CA": "/opt/french", "de": eins}
    assert chosen.audio.folders.keys() == {"en", "fr-CA", "de"}


def test_without_any_model_the_demonstration_model_is_taken_with_a_loud_warning(shelf: Shelf, tmp_path: Path) -> None:
    install(shelf, tmp_path, "eins", "de")
    chosen = choose(AudioSettings(language="en-US"), shelf)
    assert chosen.is_demonstration
    assert chosen.audio.model_folder is None
    (warning,) = chosen.warnings
    assert warning.startswith("NO SPEECH MODEL IS INSTALLED for 'en-US'")
    assert "DOES NOT UNDERSTAND REAL PEOPLE" in warning
    assert warning.endswith("install one: kiosk model install en")


def test_a_damaged_model_is_told_and_the_previous_one_taken(shelf: Shelf, tmp_path: Path) -> None:
    one = install(shelf, tmp_path, "one", "en")
    two = install(shelf, tmp_path, "two", "en")
    shutil.rmtree(Path(two) / "am")
    chosen = choose(AudioSettings(), shelf)
    assert chosen.audio.model == one
    assert len(chosen.warnings) == 2
    assert "two is not complete" in chosen.warnings[0]
    assert chosen.warnings[1] == "the model one is used for 'en' instead"


def test_with_only_a_damaged_model_the_kiosk_does_not_take_nonsense_down(shelf: Shelf, tmp_path: Path) -> None:
    one = install(shelf, tmp_path, "one", "en")
    shutil.rmtree(Path(one) / "am")
    chosen = choose(AudioSettings(), shelf)
    assert chosen.audio.model == str(shelf.folder / "one")
    assert not chosen.is_demonstration
    assert "one is not complete" in chosen.warnings[0]


def test_a_damaged_list_of_active_models_is_told(shelf: Shelf, tmp_path: Path) -> None:
    one = install(shelf, tmp_path, "one", "en")
    (shelf.folder / "active.json").write_bytes(b"?")
    chosen = choose(AudioSettings(), shelf)
    assert chosen.audio.model == one
    assert "active.json is damaged" in chosen.warnings[0]


def test_the_models_in_use_cannot_be_removed_by_others(shelf: Shelf, tmp_path: Path) -> None:
    install(shelf, tmp_path, "one", "en")
    install(shelf, tmp_path, "eins", "de")
    holds = hold_all(choose(AudioSettings(), shelf), shelf)
    assert [shelf.is_held(name) for name in ("one", "eins")] == [True, True]
    for held in holds:
        held.free()
    assert [shelf.is_held(name) for name in ("one", "eins")] == [False, False]
    assert hold_all(SpeechModels(AudioSettings(model=str(DEMONSTRATION)), ()), shelf) == []


class EarInName:
    """Takes the ear's place; remembers the settings that it was given."""

    given: AudioSettings | None = None
    started = threading.Event()

    def __init__(self, settings: AudioSettings, *_: object, **__: object) -> None:
        type(self).given = settings

    def start(self) -> None:
        self.started.set()

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def test_a_kiosk_hears_with_the_active_model_and_keeps_it_from_being_removed(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = install(shelf, tmp_path, "one", "en")
    certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    credentials = BrokerCredentials(
        kiosk_id="a", host="127.0.0.1", port=1, username="a", password="x" * 16, ca_certificate=certificate
    )
    write(tmp_path / "credentials.toml", credentials)
    monkeypatch.setattr(kiosk_module, "EarProcess", EarInName)
    monkeypatch.setattr(kiosk_module, "Uplink", MagicMock())
    EarInName.started.clear()
    settings = KioskSettings(
        credentials=str(tmp_path / "credentials.toml"),
        state_dir=str(shelf.folder.parent),
        runtime_dir=str(tmp_path / "run"),
    )
    kiosk = Kiosk(settings)
    thread = threading.Thread(target=kiosk.run)
    thread.start()
    try:
        assert EarInName.started.wait(20)
        assert EarInName.given is not None
        assert EarInName.given.model == path
        assert shelf.is_held("one")
    finally:
        kiosk.stop()
        thread.join()
    assert not shelf.is_held("one")
    assert "NO SPEECH MODEL" not in caplog.text


def test_a_kiosk_without_a_model_warns_loudly_when_it_starts(
    tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    chosen = Kiosk._choose_models
    kiosk = Kiosk.__new__(Kiosk)
    kiosk._settings = KioskSettings(state_dir=str(tmp_path / "state"))
    with ExitStack() as stack:
        assert chosen(kiosk, stack).model_folder is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "DOES NOT UNDERSTAND REAL PEOPLE" in caplog.text
