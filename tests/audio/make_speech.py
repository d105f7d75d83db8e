"""Makes the files of `speech/` and their manifest: `python -m tests.audio.make_speech`, in the repository's root.

Each sentence is spoken once, by espeak-ng or flite. Bare Vosk, with the demonstration model, then hears it in a quiet
room at many shifts of its beginning. A file of which it does not hear the same words at each shift is left out, for it
would say something about Vosk and nothing about the way to it.
"""

import shutil
import subprocess
import sys
import tempfile
import wave
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import vosk

from audio.model import DEMONSTRATION
from tests.audio.spoken import FOLDER, MANIFEST, RATE_HZ, Samples, bare_words, pcm, resampled, text_of, trimmed

FLITE: Final = "flite rms"
SENTENCES: Final = (
    ("klatt", "the apples were fresh and cheap this morning"),
    ("klatt3", "i could not find the milk anywhere"),
    ("steph", "please bring back the old bread rolls"),
    ("steph3", "the toilets on the second floor were dirty"),
    ("iven", "where can i return this jacket without a receipt"),
    ("iven3", "the young man at the counter was very kind"),
    (FLITE, "it would be nice to have more chairs for older people"),
    ("klatt", "your coffee tastes much better than last year"),
    ("klatt3", "thank you for the friendly service at the bakery"),
    ("steph", "could you open a second checkout in the evening"),
    ("steph3", "the music in the store was far too loud today"),
    ("iven", "my daughter loves the little garden behind the shop"),
    ("iven3", "the parking lot is always full on saturday"),
    (FLITE, "the cashier helped my father with his bags"),
    (FLITE, "thank you for keeping the store so clean"),
    (FLITE, "the bread was still warm when we came"),
)
"""Who says what."""
FILES: Final = 10
"""So many stable ones are kept; they take less than a megabyte."""
PEAK: Final = 8000
SHIFTS: Final = range(0, 480, 16 + 1)
"""In samples: over 30 ms, of which the network makes one step, and to any place in a frame of 10 ms."""
AROUND_S: Final = 0.3
NOISE_PEAKS: Final = (0, 8, 8, 8)
"""Of the rooms, in steps of a 16-bit sample: silence, and three times that of the simulated microphone's room."""
TIMES: Final = len(SHIFTS) * len(NOISE_PEAKS)


class Heard(NamedTuple):
    """What Vosk heard of a file at all shifts."""

    words: str
    """Without a shift, in silence."""
    others: int
    """Of `TIMES`, those at which it heard something else than without a shift in the same room."""


def main() -> int:
    """Make the files and the manifest, and show how stable each is."""
    missing = [tool for tool in ("espeak-ng", "flite") if shutil.which(tool) is None]
    if missing:
        print(f"make_speech: install the Debian packages: {' '.join(missing)}", file=sys.stderr)
        return 1
    vosk.SetLogLevel(-1)
    model = vosk.Model(str(DEMONSTRATION))
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.wav"):
        path.unlink()
    kept: list[str] = []
    left_out: list[str] = []
    for voice, text in SENTENCES:
        if len(kept) == FILES:
            break
        samples = spoken(voice, text)
        heard = listened(model, samples)
        print(f"{heard.others:3} of {TIMES} differ  {voice:10} {text} -> {heard.words}")
        if heard.others:
            left_out.append(f"#   {heard.others} of {TIMES}: {_described(voice)}: {text}")
        else:
            path = FOLDER / f"{voice.rpartition(' ')[2]}-{'-'.join(text.split()[-2:])}.wav"
            write(path, samples)
            kept.append(f'[[speech]]\nfile = "{path.name}"\nvoice = "{_described(voice)}"\ntext = "{text}"\n')
    MANIFEST.write_text(_head(left_out) + "\n" + "\n".join(kept), encoding="utf-8")
    print(f"{len(kept)} files, {sum(path.stat().st_size for path in FOLDER.iterdir())} bytes")
    return 0


def spoken(voice: str, text: str) -> Samples:
    """The sound of a sentence without silence around it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spoken.wav"
        if voice == FLITE:
            command = ["flite", "-voice", "rms", "-t", text, "-o", str(path)]
        else:
            command = ["espeak-ng", "-v", f"en-us+{voice}", "-s", "155", "-p", "45", "-w", str(path), text]
        subprocess.run(command, check=True, capture_output=True)
        with wave.open(str(path), "rb") as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
            rate_hz = file.getframerate()
    speech = trimmed(resampled(samples, rate_hz, RATE_HZ))
    return speech * (PEAK / float(np.abs(speech).max()))


def listened(model: Any, samples: Samples) -> Heard:
    """What bare Vosk hears when the sound begins at any place of a frame, in silence and in a quiet room."""
    chance = np.random.default_rng(1)
    rooms = []
    for noise_peak in NOISE_PEAKS:
        heard = []
        for shift in SHIFTS:
            before = np.zeros(round(RATE_HZ * AROUND_S) + shift)
            sound = np.concatenate((before, samples, np.zeros(round(RATE_HZ * AROUND_S))))
            noise = chance.integers(-noise_peak, noise_peak, len(sound), endpoint=True)
            heard.append(text_of(bare_words(vosk, model, pcm(sound + noise), RATE_HZ)))
        rooms.append(heard)
    others = sum(words != heard[0] for heard in rooms for words in heard)
    return Heard(rooms[0][0], others)


def write(path: Path, samples: Samples) -> None:
    """A 16-bit mono WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm(samples))


def _described(voice: str) -> str:
    return voice if voice == FLITE else f"espeak-ng en-us+{voice}"


def _head(left_out: list[str]) -> str:
    last_ms = 1000 * SHIFTS[-1] // RATE_HZ
    lines = [
        "# Sentences of visitors, spoken by synthesisers: 16-bit mono at 16 kHz, without silence around them.",
        "# Made by: python -m tests.audio.make_speech",
        "#",
        f"# Left out: Vosk alone heard other words at some of {TIMES} beginnings, 0 to {last_ms} ms later,",
        "# a quarter of them in silence and the others in a quiet room:",
    ]
    return "\n".join([*lines, *(left_out or ["#   none"]), ""])


if __name__ == "__main__":
    sys.exit(main())
