"""Which speech models the kiosk hears with: those of its settings, else those that are active on the shelf."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from audio.model import DEMONSTRATION
from audio.models.language import primary
from audio.models.shelf import Hold, Shelf, ShelfError
from audio.settings import AudioSettings
from device.settings import KioskSettings

MODELS_NAME = "models"


@dataclass(frozen=True, slots=True)
class SpeechModels:
    """The ear's settings with all models named, and what a technician must be told."""

    audio: AudioSettings
    warnings: tuple[str, ...]
    """One sentence each."""

    @property
    def is_demonstration(self) -> bool:
        """Whether the default language is heard with the built-in model, which does not understand real people."""
        return self.audio.model_folder is None


def shelf_of(settings: KioskSettings) -> Shelf:
    """Return the models' shelf of a kiosk."""
    return Shelf(Path(settings.state_dir) / MODELS_NAME)


def choose(audio: AudioSettings, shelf: Shelf) -> SpeechModels:
    """Name a model for each language: what the settings name stays; the others are the shelf's active ones.

    Raises:
        OSError: the shelf cannot be read.
    """
    warnings: list[str] = []
    if audio.model_folder is None:
        choice = shelf.choose(audio.language)
        warnings += choice.problems
        if choice.path is not None:
            audio = msgspec.structs.replace(audio, model=str(choice.path))
            if choice.problems:
                warnings.append(f"the model {choice.path.name} is used for {audio.language!r} instead")
    further = _further(audio, shelf)
    if further:
        audio = msgspec.structs.replace(audio, models={**audio.models, **further})
    chosen = SpeechModels(audio, tuple(warnings))
    if not chosen.is_demonstration:
        return chosen
    return SpeechModels(audio, (*warnings, _no_model(audio.language)))


def hold_all(chosen: SpeechModels, shelf: Shelf) -> list[Hold]:
    """Keep the models of the shelf that the ear is to use from being removed."""
    folders = [folder for folder in (chosen.audio.model, *chosen.audio.models.values()) if folder]
    return [held for folder in folders if (held := shelf.hold(Path(folder))) is not None]


def _further(audio: AudioSettings, shelf: Shelf) -> dict[str, str]:
    """Return the active models of the languages that the settings do not speak of."""
    known = {primary(language) for language in (audio.language, *audio.models)}
    found: dict[str, str] = {}
    with contextlib.suppress(ShelfError):  # told where the default language's model was chosen
        for language in shelf.slots().keys() - known:
            choice = shelf.choose(language)
            if choice.path is not None:
                found[language] = str(choice.path)
    return found


def _no_model(language: str) -> str:
    return (
        f"NO SPEECH MODEL IS INSTALLED for {language!r}: the built-in {DEMONSTRATION.name} is used, which DOES NOT "
        f"UNDERSTAND REAL PEOPLE; install one: kiosk model install {primary(language)}"
    )
