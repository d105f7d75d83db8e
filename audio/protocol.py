"""What the ear and its parent say to each other: JSON, one message a line.

The parent writes a `Start` as the first line to the ear's standard input, then commands; the ear writes events. Each
message is an object whose `type` names it (the struct's name in snake case). A `visit` is the parent's
own name for one recording; the ear hands it back in everything that belongs to it. Commands that do not apply (a
`Finish` of a visit that is not open) have no effect.

What a visitor said stands in `Partial` and `Transcript` alone, and neither is ever logged.
"""

import re
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from audio.health import Problem
from audio.settings import AudioSettings, Language

LONGEST_LINE_BYTES: Final = 4 * 1024 * 1024

VisitId = Annotated[str, Meta(min_length=1, max_length=1024)]


class ProtocolError(Exception):
    """A line that is no message of this protocol."""


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag=_snake):
    pass


class Start(_Message, frozen=True):
    """How to work, and what an earlier ear left undone."""

    settings: AudioSettings
    language: Language | None
    """To begin with; None: no model is loaded before a `UseLanguage`."""
    shared_fd: Annotated[int, Meta(ge=0)] | None = None
    """Descriptor of the memory in which sound is kept (`audio.kept_sound`) and signs of life are given
    (`audio.vitals`); None: neither is done."""
    recover: tuple[VisitId, ...] = ()
    """Visits whose kept sound is to be transcribed, whether or not there is a microphone: each ends with its
    `Transcript` or `Failed`."""
    avoid: tuple[Language, ...] = ()
    """Languages whose models are not to be loaded, not even for these visits, before a `UseLanguage` asks for one."""
    measured_mb: dict[Language, float] = {}
    """Memory that models have taken in earlier ears, by language."""


class Begin(_Message, frozen=True):
    """Listen for this visit in the language in use, from `preroll_ms` ago on. A visit that was open fails."""

    visit: VisitId


class Finish(_Message, frozen=True):
    """The visit is over: take the tail, then answer with its `Transcript` (or `Failed`)."""

    visit: VisitId


class Discard(_Message, frozen=True):
    """Forget all that was heard of this visit; nothing more comes of it."""

    visit: VisitId


class UseLanguage(_Message, frozen=True):
    """Understand visits that begin from now on in this language. Answered by `LanguageReady`, `LanguageUnusable` or
    `NoRoom`; until then the language in use stays."""

    language: Language


class Reopen(_Message, frozen=True):
    """Close the microphone, look for the devices anew, and open it again. What was kept for the pre-roll is lost."""


class Quit(_Message, frozen=True):
    """End the ear."""


Command = Begin | Finish | Discard | UseLanguage | Reopen | Quit


class Ready(_Message, frozen=True):
    """The microphone delivers sound and a model is loaded: from now on a visit can begin."""

    device: str
    """PortAudio's name of the microphone."""
    rate_hz: int
    channels: int
    """Channels that the stream was opened with."""
    model: str
    """Name of the model's folder."""
    model_is_demonstration: bool
    """True: the embedded model, with which real people are not understood."""
    language: str


class LanguageReady(_Message, frozen=True):
    """The language in use, from now on."""

    language: str
    model: str
    """Name of the model's folder."""
    model_is_demonstration: bool
    memory_mb: float
    """Memory that the model took when it was loaded."""


class LanguageUnusable(_Message, frozen=True):
    """The language cannot be understood; the one in use stays in use. One sentence for a technician."""

    language: str
    reason: str


class NoRoom(_Message, frozen=True):
    """The language's model does not fit beside those that are loaded. Another ear, which has none, has room for it."""

    language: str
    reason: str


class Level(_Message, frozen=True):
    """How loud it is: about 11 a second during a visit and 3 otherwise, and only while sound really arrives."""

    dbfs: float
    """Root mean square of the last 90 ms (300 ms between visits), decibels below full scale, at least -96."""
    peak: float
    """Largest sample of that time, 0 to 1 (every eighth is looked at)."""


class Heartbeat(_Message, frozen=True):
    """Once a second while sound arrives: counts since the ear's start."""

    blocks: int
    overflows: int
    """Times at which the system lost sound because the ear was too slow."""
    backlog_s: float
    """Sound that waits for the recogniser, in seconds; large on a machine too slow for the model."""


class MicrophoneHealth(_Message, frozen=True):
    """Something is wrong with the sound of the microphone, or is not, or no more.

    The ear sends it when it knows for the first time and at each change; `EarProcess` hands it on once when a problem
    begins and once when it is over, however many ears there are meanwhile.
    """

    problem: Problem
    is_present: bool
    text: str
    """For a technician: what is wrong and what to do about it, or what is right again."""


class FirstSound(_Message, frozen=True):
    """The first sound after `Begin` is in: the visit is really being recorded."""

    visit: VisitId
    preroll_s: float
    """Sound from before `Begin` that was kept."""


class SpeechStarted(_Message, frozen=True):
    """Somebody speaks. Sent once for a visit."""

    visit: VisitId
    at_s: float
    """When speech began, from `Begin`; negative when it began before the press."""


class SpeechEnded(_Message, frozen=True):
    """No speech for `pause_s` after speech, or the longest visit is reached. The visit stays open, and when speech
    goes on, this can come again."""

    visit: VisitId


class NothingSaid(_Message, frozen=True):
    """No speech for `nothing_said_s` after `Begin`. Sent once at most; the visit stays open."""

    visit: VisitId


class Partial(_Message, frozen=True):
    """The words so far; they may still change."""

    visit: VisitId
    text: str


class Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One recognised word."""

    word: str
    start_s: float
    """From the start of the visit's sound, of which the pre-roll is the first part."""
    end_s: float
    confidence: float
    """0 to 1, Vosk's own."""


class Transcript(_Message, frozen=True):
    """What was said in a visit. The last event of a visit that was finished."""

    visit: VisitId
    text: str | None
    """None when there was no speech in the sound, or no word was recognised."""
    language: str
    model: str
    confidence: float | None
    """Mean of the words' confidences, 0 to 1; None without text."""
    words: tuple[Word, ...]
    audio_s: float
    """Length of all sound of the visit, pre-roll and tail included."""
    speech_s: float
    """How much of it was speech."""
    finalise_ms: float
    """From `Finish` to this event, tail included; of an interrupted visit from the other ear's beginning with it."""
    too_quiet: bool
    """The mean level of the speech was below `quiet_dbfs`."""
    too_loud: bool
    """The sound reached full scale again and again: the microphone's gain is too high."""
    interrupted: bool = False
    """The ear or the microphone was lost during the visit: the words are those of the sound until then."""


class Failed(_Message, frozen=True):
    """The visit has no transcript. The last event of this visit."""

    visit: VisitId
    reason: str


class Fault(_Message, frozen=True):
    """The ear cannot work and ends: no microphone, wrong settings. One sentence for a technician."""

    reason: str


class EarLost(_Message, frozen=True):
    """Made by the parent's `EarProcess`, never by the ear: there is no ear at the moment, a new one is being started.

    Sent once; `Ready` tells that the time without an ear is over.
    """

    reason: str


class Interrupted(_Message, frozen=True):
    """The ear was lost during this visit, whose sound is kept, as `EarProcess` tells; or its microphone, as it tells.

    Nothing more is recorded for it. Its `Transcript` or `Failed` follows when another ear has worked on it: mostly
    within seconds, but later where a model is to be waited for; at once where the ear is still there. Sent once for a
    visit.
    """

    visit: VisitId
    reason: str
    lost_for_s: float
    """How long ago the ear gave its last sign of life, or the microphone its last sound."""


Event = (
    Ready
    | LanguageReady
    | LanguageUnusable
    | NoRoom
    | Level
    | Heartbeat
    | MicrophoneHealth
    | FirstSound
    | SpeechStarted
    | SpeechEnded
    | NothingSaid
    | Partial
    | Transcript
    | Interrupted
    | Failed
    | Fault
)
EarEvent = Event | EarLost
"""What `EarProcess` hands on."""

_encoder = msgspec.json.Encoder()
_commands: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_starts = msgspec.json.Decoder(Start)


def encode(message: Start | Command | Event) -> bytes:
    """One line, its end included."""
    return _encoder.encode(message) + b"\n"


def decode_command(line: bytes) -> Command:
    """The command in a line. Raises `ProtocolError`."""
    return _decode(_commands, line)


def decode_event(line: bytes) -> Event:
    """The event in a line. Raises `ProtocolError`."""
    return _decode(_events, line)


def decode_start(line: bytes) -> Start:
    """The start in a line. Raises `ProtocolError`, which names the setting that is wrong."""
    return _decode(_starts, line)


T = TypeVar("T")


def _decode(decoder: msgspec.json.Decoder[T], line: bytes) -> T:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(str(error)) from error
