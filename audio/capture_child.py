"""`python -m audio.capture_child`: opens a microphone for a tool; see `audio.capture_protocol`.

A process of its own, as the ear is one: PortAudio is native code that can hang, abort, and print without end.
"""

import os
import resource
import sys
import threading
import time
from queue import SimpleQueue
from typing import Any, BinaryIO, Final

from audio.capture_protocol import (
    LENGTH,
    LONGEST_BYTES,
    Answer,
    Block,
    CaptureProtocolError,
    FoundInput,
    Inputs,
    Open,
    Opened,
    Refused,
    Survey,
    Taken,
    decode_request,
    encode,
)
from audio.microphone import (
    Microphone,
    MicrophoneBusyError,
    MicrophoneError,
    MicrophoneStream,
    find_microphone,
    is_busy,
    load_portaudio,
)
from audio.settings import AudioSettings

USUAL_RATES_HZ: Final = (48000, 44100, 32000, 16000, 8000)
MOST_CHANNELS: Final = 16
"""No microphone has more; ALSA's converting devices claim to have dozens."""


def survey(settings: AudioSettings) -> Inputs:
    """Every input that PortAudio knows, each opened for a moment at each usual rate. Raises `MicrophoneError`."""
    portaudio = load_portaudio()
    default = portaudio.default.device[0]
    devices = [(i, device) for i, device in enumerate(portaudio.query_devices()) if device["max_input_channels"] > 0]
    taken, reason = None, None
    try:
        microphone = find_microphone(settings)
    except MicrophoneError as error:
        reason = str(error)
    else:
        position = [number for number, _ in devices].index(microphone.number)
        taken = Taken(position=position, rate_hz=microphone.rate_hz)
    found = tuple(_examined(portaudio, number, device, is_default=number == default) for number, device in devices)
    return Inputs(found=found, taken=taken, reason=reason)


def _examined(portaudio: Any, number: int, device: Any, *, is_default: bool) -> FoundInput:
    channels = int(device["max_input_channels"])
    rates_hz, was_busy = [], False
    for rate_hz in USUAL_RATES_HZ:
        for count in dict.fromkeys([1, min(2, channels), channels]):
            try:
                # Asking alone is not enough: some drivers say yes and refuse when the buffers are set up.
                portaudio.RawInputStream(device=number, channels=count, samplerate=rate_hz, dtype="int16").close()
            except (portaudio.PortAudioError, ValueError) as error:
                was_busy = was_busy or is_busy(error)
            else:
                rates_hz.append(rate_hz)
                break
    return FoundInput(
        name=str(device["name"]),
        own_hz=int(device["default_samplerate"]),
        channels=channels,
        rates_hz=tuple(rates_hz),
        is_busy=was_busy and not rates_hz,
        is_default=is_default,
    )


def choose(request: Open) -> Microphone:
    """The microphone that the request means, with its rate and channels. Raises `MicrophoneError`."""
    portaudio = load_portaudio()
    microphone = find_microphone(request.settings)
    most = int(portaudio.query_devices(microphone.number)["max_input_channels"])
    counts = [microphone.channels, most]
    # A mix is that of the channels which the kiosk opens.
    if request.all_channels and most <= MOST_CHANNELS and request.settings.channel != "mix":
        counts.reverse()
    rate_hz = request.rate_hz or microphone.rate_hz
    for channels in dict.fromkeys(counts):
        try:
            portaudio.check_input_settings(
                device=microphone.number, channels=channels, dtype="int16", samplerate=rate_hz
            )
        except (portaudio.PortAudioError, ValueError):
            continue
        return microphone._replace(rate_hz=rate_hz, channels=channels)
    raise MicrophoneError(
        f"the microphone {microphone.name!r} does not open at {rate_hz} Hz; it opens at {microphone.rate_hz} Hz, which "
        "the kiosk takes"
    )


def serve(requests: BinaryIO, answers_fd: int) -> int:
    """Read one request and answer it; the exit status. Sound is delivered until the parent ends the process."""
    answers: SimpleQueue[Answer] = SimpleQueue()
    try:
        request = _read_request(requests)
        threading.Thread(target=_end_with, args=(requests,), name="end", daemon=True).start()
        if isinstance(request, Survey):
            _write(answers_fd, survey(request.settings))
            return 0
        microphone = choose(request)
        stream = _started(microphone, request.settings, answers)
    except CaptureProtocolError as error:
        _write(answers_fd, Refused(reason=f"the request was not understood: {error}"))
        return 1
    except MicrophoneError as error:
        _write(answers_fd, Refused(reason=str(error), is_busy=isinstance(error, MicrophoneBusyError)))
        return 1
    _write(answers_fd, Opened(name=microphone.name, rate_hz=microphone.rate_hz, channels=microphone.channels))
    answer: Answer | None = None
    while not isinstance(answer, Refused):
        answer = answers.get()
        _write(answers_fd, answer)
    del stream  # it had to live so long: PortAudio calls back into it
    return 1


def _started(microphone: Microphone, settings: AudioSettings, answers: "SimpleQueue[Answer]") -> MicrophoneStream:
    def deliver(samples: bytes, overflowed: bool) -> None:
        answers.put(Block(at_s=time.monotonic(), overflowed=overflowed, samples=samples))

    gone = Refused(reason=f"the microphone {microphone.name!r} stopped: it was unplugged, or it failed")
    return MicrophoneStream(microphone, settings, deliver, ended=lambda: answers.put(gone))


def _read_request(requests: BinaryIO) -> Survey | Open:
    head = requests.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise CaptureProtocolError("there is none")
    (length,) = LENGTH.unpack(head)
    if length > LONGEST_BYTES:
        raise CaptureProtocolError(f"it has {length} bytes")
    return decode_request(requests.read(length))


def _end_with(requests: BinaryIO) -> None:
    """End the process when its parent is gone, whatever native code may be doing."""
    while requests.read(1):
        pass
    os._exit(0)


def _write(answers_fd: int, answer: Answer) -> None:
    data = encode(answer)
    while data:
        data = data[os.write(answers_fd, data) :]


def main() -> None:
    """Serve one request, and end without waiting for native threads, which may hang."""
    answers_fd = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # native libraries may print
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would put a voice on the disk
    status = 1
    try:
        status = serve(sys.stdin.buffer, answers_fd)
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
