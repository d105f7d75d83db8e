"""What can be set about the ear."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]
"""A BCP 47 tag."""
Channel = Annotated[int, Meta(ge=1, le=32)] | Literal["mix"]
Folder = Annotated[str, Meta(min_length=1, max_length=4096)]


class AudioSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the kiosk hears. Bounds are checked when the settings are decoded (`msgspec.json.decode`, `convert`)."""

    device: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    """The microphone: PortAudio's name of it, or a part of that name, in any case. None: the system's default.
    Use the part that stays when the numbers of the sound cards change ("USB PnP", not "hw:1,0"), or, where several
    have one name, the USB socket ("usb-0000:01:00.0-1.3"). `kiosk mic list` shows both."""

    channel: Channel = 1
    """The channel of the microphone that is listened to, counted from 1, or "mix": the mean of all channels."""

    dead_s: Annotated[float, Meta(ge=1.0, le=600.0)] = 2.0
    """Sound that does not change at all for so long comes from a dead microphone, in seconds (1 to 600): not even the
    quietest room is digitally silent. Raise it for a microphone that switches its sound off while nobody speaks."""

    block_ms: Annotated[int, Meta(ge=20, le=50)] = 30
    """Length of the blocks that PortAudio delivers, in milliseconds (20 to 50)."""

    latency_s: Annotated[float, Meta(ge=0.05, le=2.0)] = 0.2
    """Sound that the system may hold back before it is lost, in seconds (0.05 to 2). PortAudio's own "low" gives
    a buffer of two blocks, which overflows on a busy machine."""

    preroll_ms: Annotated[int, Meta(ge=0, le=3000)] = 500
    """Sound from before the press that belongs to the visit, in milliseconds (0 to 3000); kept in memory only."""

    tail_ms: Annotated[int, Meta(ge=0, le=1000)] = 120
    """Sound from after the end of a visit that still belongs to it, in milliseconds (0 to 1000): what was in the
    microphone's buffers, and the last syllable of a visitor who lets go early."""

    longest_s: Annotated[float, Meta(ge=5.0, le=900.0)] = 300.0
    """The ear takes no more sound of one visit than this, in seconds (5 to 900), and says that speech has ended."""

    model: Folder | None = None
    """Folder of the Vosk model for `language`. None: that of `models`, else the embedded demonstration model, which
    does not understand real people."""

    language: Language = "en"
    """The default language, which is understood until another one is chosen, as a BCP 47 tag; the language of each
    visit is written into its transcript."""

    models: dict[Language, Folder] = {}
    """Folders of Vosk models for further languages, by language. Each is loaded when it is wanted first."""

    memory_mb: Annotated[int, Meta(ge=16, le=262144)] = 700
    """Memory that the models of several languages may take together, in MB (16 to 262144). What does not fit beside
    the others is loaded into a new process of the ear, which takes the time of its start. The default holds two small
    models, and leaves a Raspberry Pi of 2 GB room for the rest. The default language's model is loaded whatever it
    takes, for a kiosk that hears is worth more than the budget."""

    pause_s: Annotated[float, Meta(ge=0.3, le=10.0)] = 1.5
    """Silence after speech that counts as its end, in seconds (0.3 to 10)."""

    nothing_said_s: Annotated[float, Meta(ge=1.0, le=120.0)] = 8.0
    """Time without any speech after which the ear says that nothing was said, in seconds (1 to 120)."""

    vad_mode: Annotated[int, Meta(ge=0, le=3)] = 2
    """How strictly WebRTC's detector tells speech from noise: 0 (lets most pass) to 3 (lets least pass)."""

    silence_dbfs: Annotated[float, Meta(ge=-96.0, le=-20.0)] = -60.0
    """Sound below this level is never speech, in decibels below full scale (-96 to -20)."""

    noise_s: Annotated[float, Meta(ge=10.0, le=600.0)] = 60.0
    """How much of the time between visits is remembered to know how loud the shop is, in seconds (10 to 600): levels
    only, no sound."""

    over_noise_db: Annotated[float, Meta(ge=0.0, le=20.0)] = 1.5
    """Speech must be this much louder than the shop usually becomes, in decibels (0 to 20). With more, less noise is
    taken for speech, and quiet visitors are not heard in a loud shop."""

    background_db: Annotated[float, Meta(ge=6.0, le=60.0)] = 20.0
    """Sound this much below the visitor's own mean level is other people, not the visitor, in decibels (6 to 60)."""

    quiet_dbfs: Annotated[float, Meta(ge=-96.0, le=-10.0)] = -45.0
    """Speech with a mean level below this is reported as too quiet, in decibels below full scale (-96 to -10)."""

    partial_every_s: Annotated[float, Meta(ge=0.1, le=5.0)] = 0.3
    """How often the words so far are reported while a visitor speaks, in seconds of sound (0.1 to 5)."""

    def __post_init__(self) -> None:
        """Refuse two models for one language, with `ValueError`."""
        if self.model and self.language in self.models:
            raise ValueError(f"`model` and `models` both name a model for {self.language!r}; keep one of them")

    @property
    def model_folder(self) -> Path | None:
        """Folder of the default language's model, None for the demonstration model."""
        return self.folders[self.language]

    @property
    def folders(self) -> dict[str, Path | None]:
        """The models' folders by language, the default language first; None stands for the demonstration model."""
        default = self.model or self.models.get(self.language)
        others = {language: Path(folder) for language, folder in self.models.items() if language != self.language}
        return {self.language: Path(default) if default else None, **others}
