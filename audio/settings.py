"""What can be set about the ear."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta


class AudioSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the kiosk hears. Bounds are checked when the settings are decoded (`msgspec.json.decode`, `convert`)."""

    device: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    """The microphone: PortAudio's name of it, or a part of that name, in any case. None: the system's default.
    Use the part that stays when the numbers of the sound cards change ("USB PnP", not "hw:1,0")."""

    channel: Annotated[int, Meta(ge=1, le=32)] = 1
    """The channel of the microphone that is listened to, counted from 1."""

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

    model: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    """Folder of a Vosk model. None: the embedded demonstration model, which does not understand real people."""

    language: Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)] = "en"
    """Language of the model, as a BCP 47 tag; written into every transcript."""

    pause_s: Annotated[float, Meta(ge=0.3, le=10.0)] = 1.5
    """Silence after speech that counts as its end, in seconds (0.3 to 10)."""

    nothing_said_s: Annotated[float, Meta(ge=1.0, le=120.0)] = 8.0
    """Time without any speech after which the ear says that nothing was said, in seconds (1 to 120)."""

    vad_mode: Annotated[int, Meta(ge=0, le=3)] = 2
    """How strictly WebRTC's detector tells speech from noise: 0 (lets most pass) to 3 (lets least pass)."""

    silence_dbfs: Annotated[float, Meta(ge=-96.0, le=-20.0)] = -60.0
    """Sound below this level is never speech, in decibels below full scale (-96 to -20)."""

    background_db: Annotated[float, Meta(ge=6.0, le=60.0)] = 20.0
    """Sound this much below the visitor's own mean level is other people, not the visitor, in decibels (6 to 60)."""

    quiet_dbfs: Annotated[float, Meta(ge=-96.0, le=-10.0)] = -45.0
    """Speech with a mean level below this is reported as too quiet, in decibels below full scale (-96 to -10)."""

    partial_every_s: Annotated[float, Meta(ge=0.1, le=5.0)] = 0.3
    """How often the words so far are reported while a visitor speaks, in seconds of sound (0.1 to 5)."""

    @property
    def model_folder(self) -> Path | None:
        """The model's folder, None for the demonstration model."""
        return Path(self.model) if self.model else None
