"""`python -m benchmarks.ear_start DEVICE MODEL`: a start of the ear in its pieces, one after the other.

Prints the moments at which the pieces were done, by the clock that all processes of a machine share. In the ear the
microphone and the model are begun at the same time, so its start takes less than the pieces together.
"""

import sys
import time

PIECES = (
    "Python",
    "import of the ear",
    "PortAudio loaded",
    "microphone found",
    "first sound",
    "import of Vosk",
    "model loaded",
)
FIRST_SOUND_S = 10.0


def main() -> None:
    """Do the pieces and print the moments."""
    moments_s = [time.monotonic()]

    def done() -> None:
        moments_s.append(time.monotonic())

    import audio.ear  # noqa: F401 - its import is what is measured

    done()
    import threading

    from audio.microphone import MicrophoneStream, find_microphone, load_portaudio
    from audio.settings import AudioSettings

    load_portaudio()
    done()
    settings = AudioSettings(device=sys.argv[1])
    microphone = find_microphone(settings)
    done()
    heard = threading.Event()
    stream = MicrophoneStream(microphone, settings, lambda *_: heard.set(), lambda: None)
    if not heard.wait(FIRST_SOUND_S):
        raise RuntimeError("the microphone gives no sound")
    done()
    stream.close()
    import vosk

    done()
    vosk.SetLogLevel(-1)
    model = vosk.Model(sys.argv[2])
    done()
    print(*moments_s)
    del model


if __name__ == "__main__":
    main()
