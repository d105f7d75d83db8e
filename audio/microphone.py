"""The microphone, through PortAudio: always open, a callback that does nothing but hand the sound on.

Blocking reads are out of the question: when the device goes away they hang, and PortAudio says nothing. To a
callback stream it mostly says nothing either: the callbacks just stop. Whoever uses this must watch for that.
"""

import contextlib
import ctypes
import math
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from audio import naming
from audio.mixing import mean_of_channels
from audio.settings import AudioSettings, Channel
from audio.sound_cards import SoundCard, sound_cards

GOOD_RATES_HZ: Final = (48000, 32000, 16000, 8000)
"""Rates at which the speech detector works without conversion. Highest first: what ALSA's converter makes of a
lower rate has aliases, Vosk's own converter leaves none."""
MOST_MIXED: Final = 8
"""Channels that are mixed. ALSA's converting devices claim to have dozens."""
_LISTED_NAMES: Final = 8
_DEVICE_UNAVAILABLE: Final = -9985  # paDeviceUnavailable of portaudio.h


class MicrophoneError(Exception):
    """There is no microphone to hear with. One sentence: what is wrong, what to do."""


class MicrophoneBusyError(MicrophoneError):
    """Another program holds the microphone."""


class Microphone(NamedTuple):
    """A microphone and how it can be opened."""

    number: int
    """PortAudio's index of it, valid in this process alone."""
    name: str
    rate_hz: int
    channels: int


def find_microphone(settings: AudioSettings, cards: Callable[[], Iterable[SoundCard]] = sound_cards) -> Microphone:
    """The microphone that the settings name. Raises `MicrophoneError`.

    The rate is the device's own where the speech detector takes it, else the first of `GOOD_RATES_HZ` that the
    device can do, else its own. `cards` tells in which USB socket a device is.
    """
    portaudio = load_portaudio()
    index, device = _chosen(portaudio, settings.device, cards)
    name = str(device["name"])
    most = int(device["max_input_channels"])
    if settings.channel != "mix" and settings.channel > most:
        raise MicrophoneError(
            f"the microphone {name!r} has {most} channel(s), and channel {settings.channel} is asked for; correct the "
            "setting `channel`"
        )
    own_hz = int(device["default_samplerate"])
    rates_hz = dict.fromkeys([*([own_hz] if own_hz in GOOD_RATES_HZ else []), *GOOD_RATES_HZ, own_hz])
    reason = ""
    for rate_hz in rates_hz:
        for channels in _channel_counts(settings.channel, most):
            try:
                portaudio.check_input_settings(device=index, channels=channels, dtype="int16", samplerate=rate_hz)
            except (portaudio.PortAudioError, ValueError) as error:
                if is_busy(error):
                    raise _refusal(name, error) from error
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
        portaudio = load_portaudio()
        _ask_for_short_periods(portaudio, settings)
        self._is_closed = False

        def on_block(samples: Any, _frames: int, _times: object, status: Any) -> None:
            deliver(bytes(samples), bool(status.input_overflow))

        def on_end() -> None:
            if not self._is_closed:
                ended()

        try:
            self._stream = portaudio.RawInputStream(
                device=microphone.number,
                channels=microphone.channels,
                samplerate=microphone.rate_hz,
                dtype="int16",
                blocksize=microphone.rate_hz * settings.block_ms // 1000,
                latency=settings.latency_s,
                callback=on_block,
                finished_callback=on_end,
            )
            self._stream.start()
        except (portaudio.PortAudioError, ValueError) as error:
            raise _refusal(microphone.name, error) from error

    def close(self) -> None:
        """Let go of the microphone; neither function is called afterwards. Hangs where the driver hangs."""
        self._is_closed = True
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)


def look_again() -> None:
    """Let PortAudio find the devices anew: what it lists is as old as its start. Numbers of microphones become void.

    No stream may be open. Takes as long as PortAudio's start, and hangs where a driver hangs. Raises
    `MicrophoneError`.
    """
    portaudio = load_portaudio()
    try:
        # PortAudio has no other way, and sounddevice no public one to it.
        portaudio._terminate()  # noqa: SLF001
        portaudio._initialize()  # noqa: SLF001
    except portaudio.PortAudioError as error:
        raise MicrophoneError(f"PortAudio cannot be started again: {error}") from error


def pick_channel(samples: bytes, channels: int, channel: Channel) -> bytes:
    """One channel (from 1) of interleaved 16-bit samples, or the mean of all."""
    if channels == 1:
        return samples
    if channel == "mix":
        return mean_of_channels(samples, channels)
    return memoryview(samples).cast("h")[channel - 1 :: channels].tobytes()


def is_busy(error: Exception) -> bool:
    """Whether PortAudio refused a device because another program holds it."""
    return error.args[1:2] == (_DEVICE_UNAVAILABLE,)


def load_portaudio() -> Any:
    """The module `sounddevice`, with PortAudio started. Raises `MicrophoneError`."""
    try:
        import sounddevice  # finds and starts PortAudio, which may fail or take seconds
    except OSError as error:
        raise MicrophoneError(
            f"PortAudio cannot be loaded ({error}); install it with: sudo apt-get install libportaudio2"
        ) from error
    except Exception as error:
        raise MicrophoneError(f"PortAudio cannot be started: {error}") from error
    return sounddevice


def _ask_for_short_periods(portaudio: Any, settings: AudioSettings) -> None:
    """Have ALSA wake PortAudio for each block.

    By itself PortAudio cuts the buffer of `latency_s` into four periods, each of several blocks, which then come all at
    once. The function is of pa_linux_alsa.h; a PortAudio without ALSA has none.
    """
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(portaudio._libname)  # noqa: SLF001 - sounddevice has no public name of it
        library.PaAlsa_SetNumPeriods(math.ceil(settings.latency_s * 1000 / settings.block_ms) + 1)


def _refusal(name: str, error: Exception) -> MicrophoneError:
    if is_busy(error):
        return MicrophoneBusyError(f"the microphone {name!r} is in use by another program")
    return MicrophoneError(f"the microphone {name!r} cannot be opened: {error}")


def _channel_counts(channel: Channel, most: int) -> list[int]:
    """Numbers of channels to open a device with that has `most`, the best first."""
    if channel == "mix":
        return list(dict.fromkeys([most if most <= MOST_MIXED else 2, min(2, most), 1]))
    # Some devices open with all of their channels only.
    return list(dict.fromkeys([channel, max(2, channel), most]))


def _chosen(portaudio: Any, wanted: str | None, cards: Callable[[], Iterable[SoundCard]]) -> tuple[int, Any]:
    inputs = [(i, device) for i, device in enumerate(portaudio.query_devices()) if device["max_input_channels"] > 0]
    if not inputs:
        raise MicrophoneError(
            "no microphone is plugged in, or this user may not use it; plug one in, or add the user to the group "
            "`audio`"
        )
    if wanted is None:
        default = portaudio.default.device[0]
        return next((found for found in inputs if found[0] == default), inputs[0])
    names = [str(device["name"]) for _, device in inputs]
    position = naming.selected(names, wanted)
    if position is None:
        position = _in_socket(names, wanted, cards())
    if position is not None:
        return inputs[position]
    listed = ", ".join(map(repr, names[:_LISTED_NAMES]))
    raise MicrophoneError(f"no microphone is called {wanted!r}; plugged in: {listed}")


def _in_socket(names: Iterable[str], socket: str, cards: Iterable[SoundCard]) -> int | None:
    """The position of the first device of the card in a USB socket."""
    numbers = [card.number for card in cards if card.socket is not None and card.socket.casefold() == socket.casefold()]
    addresses = [naming.address(name) for name in names]
    return next((i for i, address in enumerate(addresses) if address and address.card in numbers), None)
