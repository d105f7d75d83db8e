"""The models in the ear's memory, one for each language, within a budget."""

from collections.abc import Callable, Mapping
from pathlib import Path

from audio.model import Model, ModelError, find_model
from audio.model_memory import MB, estimate_bytes
from audio.recogniser import LoadedModel, load
from audio.settings import AudioSettings


class NoRoomError(Exception):
    """A model does not fit beside those that are loaded. One sentence."""


class LoadedModels:
    """Loads models when they are wanted. For one thread.

    `measured_mb`: what models took in earlier processes, by language; without it a model is taken for as large as its
    folder lets expect. A model cannot be given back: the process must end for that.
    """

    def __init__(
        self,
        settings: AudioSettings,
        measured_mb: Mapping[str, float],
        *,
        load_model: Callable[[Path | None], LoadedModel] = load,
        estimate: Callable[[Path], int] = estimate_bytes,
    ) -> None:
        self._settings = settings
        self._measured_mb = measured_mb
        self._load_model = load_model
        self._estimate = estimate
        self._loaded: dict[str, LoadedModel] = {}

    def get(self, language: str) -> LoadedModel | None:
        """The model of a language, if it is loaded."""
        return self._loaded.get(language)

    def load(self, language: str) -> LoadedModel:
        """The model of a language, loaded if need be. Raises `ModelError` and `NoRoomError`."""
        if loaded := self._loaded.get(language):
            return loaded
        if language not in self._settings.folders:
            raise ModelError(f"no model is set for the language {language!r}; add one to the setting `models`")
        folder = self._settings.folders[language]
        self._make_sure_of_room(language, find_model(folder))
        self._loaded[language] = self._load_model(folder)
        return self._loaded[language]

    def _make_sure_of_room(self, language: str, model: Model) -> None:
        budget_mb = self._settings.memory_mb
        needed_mb = self._measured_mb.get(language) or self._estimate(model.path) / MB
        if needed_mb > budget_mb and language != self._settings.language:
            raise ModelError(
                f"the model {model.path} takes about {needed_mb:.0f} MB, and {budget_mb} MB are allowed; use a smaller "
                "one, or raise the setting `memory_mb`"
            )
        taken_mb = sum(loaded.memory_bytes for loaded in self._loaded.values()) / MB
        if self._loaded and taken_mb + needed_mb > budget_mb:
            raise NoRoomError(
                f"the model {model.path} takes about {needed_mb:.0f} MB; {taken_mb:.0f} of {budget_mb} MB are taken"
            )
