"""The microphone, through PortAudio: always open, a callback that does nothing but hand the sound on.

Blocking reads are out of the question: when the device goes away they hang, and PortAudio says nothing. To a
callback stream it mostly says nothing either: the callbacks just stop. Whoever uses this must watch for that.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from audio.settings import AudioSettings

GOOD_RATES_HZ: Final = (48000, 32000, 16000, 8000)
"""Rates at which the speech detector works without conversion. Highest first: what ALSA's converter makes of a
lower rate has aliases, Vosk's own converter leaves none."""
_LISTED_NAMES: Final = 8


class MicrophoneError(Exception):
    """There is no microphone to hear with. One sentence: what is wrong, what to do."""


class Microphone(NamedTuple):
    """A microphone and how it can be opened."""

    number: int
    """PortAudio's index of it, valid in this process alone."""
    name: str
    rate_hz: int
    channels: int


def find_microphone(settings: AudioSettings) -> Microphone:
    """The microphone that the settings name. Raises `MicrophoneError`.

    The rate is the device's own where the speech detector takes it, else the first of `GOOD_RATES_HZ` that the
    device can do, else its own.
    """
    portaudio = _portaudio()
    index, device = _chosen(portaudio, settings.device)
    name = str(device["name"])
    if settings.channel > device["max_input_channels"]:
        raise MicrophoneError(
            f"the microphone {name!r} has {device['max_input_channels']} channel(s), and channel "
            f"{settings.channel} is asked for; correct the setting `channel`"
        )
    own_hz = int(device["default_samplerate"])
    rates_hz = dict.fromkeys([*([own_hz] if own_hz in GOOD_RATES_HZ else []), *GOOD_RATES_HZ, own_hz])
    # Some devices open with all of their channels only; ALSA's converting ones claim to have dozens.
    channel_counts = dict.fromkeys([settings.channel, max(2, settings.channel), device["max_input_channels"]])
    reason = ""
    for rate_hz in rates_hz:
        for channels in channel_counts:
            try:
                portaudio.check_input_settings(device=index, channels=channels, dtype="int16", samplerate=rate_hz)
            except (portaudio.PortAudioError, ValueError) as error:
                reason = str(error)
            else:
                return Microphone(index, name, rate_hz, channels)
    raise MicrophoneError(f"the microphone {name!r} cannot be opened: {reason}")


class MicrophoneStream:
    """Sound from a microphone, from the making of the object on.

    `deliver` is called in PortAudio's thread with each block (16-bit, all channels interleaved) and whether sound
    was lost before it, `ended` when PortAudio gives the stream up; neither may wait. Raises `MicrophoneError`.
    """

    def __init__(
        self,
        microphone: Microphone,
        settings: AudioSettings,
        deliver: Callable[[bytes, bool], None],
        ended: Callable[[], None],
    ) -> None:
        portaudio = _portaudio()

        def on_block(samples: Any, _frames: int, _times: object, status: Any) -> None:
            deliver(bytes(samples), bool(status.input_overflow))

        try:
            self._stream = portaudio.RawInputStream(
                device=microphone.number,
                channels=microphone.channels,
                samplerate=microphone.rate_hz,
                dtype="int16",
                blocksize=microphone.rate_hz * settings.block_ms // 1000,
                latency=settings.latency_s,
                callback=on_block,
                finished_callback=ended,
            )
            self._stream.start()
        except (portaudio.PortAudioError, ValueError) as error:
            raise MicrophoneError(f"the microphone {microphone.name!r} cannot be opened: {error}") from error


def pick_channel(samples: bytes, channels: int, channel: int) -> bytes:
    """One channel (from 1) of interleaved 16-bit samples."""
    if channels == 1:
        return samples
    return memoryview(samples).cast("h")[channel - 1 :: channels].tobytes()


def _portaudio() -> Any:
    try:
        import sounddevice  # finds and starts PortAudio, which may fail or take seconds
    except OSError as error:
        raise MicrophoneError(
            f"PortAudio cannot be loaded ({error}); install it with: sudo apt-get install libportaudio2"
        ) from error
    except Exception as error:
        raise MicrophoneError(f"PortAudio cannot be started: {error}") from error
    return sounddevice


def _chosen(portaudio: Any, wanted: str | None) -> tuple[int, Any]:
    inputs = [(i, device) for i, device in enumerate(portaudio.query_devices()) if device["max_input_channels"] > 0]
    if not inputs:
        raise MicrophoneError("no microphone is plugged in, or this user may not use it (group `audio`)")
    if wanted is None:
        default = portaudio.default.device[0]
        return next((found for found in inputs if found[0] == default), inputs[0])
    for matches in (str.__eq__, str.startswith, str.__contains__):
        for index, device in inputs:
            if matches(str(device["name"]).casefold(), wanted.casefold()):
                return index, device
    names = ", ".join(repr(device["name"]) for _, device in inputs[:_LISTED_NAMES])
    raise MicrophoneError(f"no microphone is called {wanted!r}; plugged in: {names}")
