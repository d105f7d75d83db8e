"""From the end of speech to durable thanks, beside Vosk's own `FinalResult`: `python -m benchmarks.thanks`.

Each visit is real: virtual panel, simulated microphone in real time, spool on this disk. The visitor presses the button
again right after the last sample, which is the earliest end that a kiosk can know.
"""

import argparse
import json
import sys
import tempfile
import time
import wave
from pathlib import Path
from statistics import median, quantiles

import vosk

from audio.model import DEMONSTRATION
from demo.happenings import Happenings
from demo.microphone import SimulatedMicrophone
from demo.sentences import SENTENCES
from demo.store import Store

BLOCK_FRAMES = 480
WAIT_S = 30.0


def bare_final_result_ms(model: vosk.Model, wav: Path) -> float:
    """Feed a file in blocks as a microphone would give them, and time `FinalResult` alone, in milliseconds."""
    with wave.open(str(wav), "rb") as file:
        recogniser = vosk.KaldiRecognizer(model, file.getframerate())
        recogniser.SetWords(True)
        while data := file.readframes(BLOCK_FRAMES):
            if recogniser.AcceptWaveform(data):
                recogniser.Result()
        began_s = time.perf_counter()
        json.loads(recogniser.FinalResult())
        return (time.perf_counter() - began_s) * 1000


def visit(store: Store, wav: Path) -> dict[str, float]:
    """Return the milliseconds of one visit, from the press that ends it."""
    assert store.microphone is not None
    store.visit(wav)
    if not store.microphone.wait_until_said(WAIT_S):
        raise RuntimeError("the simulated microphone does not end")
    ended = len(store.happenings)
    store.press()
    thanks = store.happenings.wait_for("panel", "scene", scene="thanks", since=ended, timeout_s=WAIT_S)
    pressed = store.happenings.find("kiosk", "pressed", since=ended)[0]
    heard = store.happenings.find("kiosk", "heard", since=ended)[0]
    committed = store.happenings.find("kiosk", "committed", since=ended)[0]
    store.happenings.wait_for("panel", "scene", scene="idle", since=ended, timeout_s=WAIT_S)
    return {
        "last words recognised": (heard.at - pressed.at) * 1000,
        "durable in the spool": (committed.at - pressed.at) * 1000,
        "thanks on the panel": (thanks.at - pressed.at) * 1000,
    }


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.thanks", description=__doc__)
    parser.add_argument("--visits", type=int, default=20)
    visits: int = parser.parse_args(argv).visits
    wavs = list(SENTENCES)
    vosk.SetLogLevel(-1)
    model = vosk.Model(str(DEMONSTRATION))
    bare_final_result_ms(model, wavs[0])
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="voiseback-bench-") as folder:
        microphone = SimulatedMicrophone(Path(folder) / "microphone")
        with microphone, Store(Path(folder), Happenings(), microphone=microphone, thanks_s=0.2) as store:
            store.set_up()
            store.start_panel()
            store.start_kiosk()
            for number in range(visits):
                wav = wavs[number % len(wavs)]
                rows.append({"Vosk's FinalResult, bare": bare_final_result_ms(model, wav), **visit(store, wav)})
    print(f"{visits} visits; milliseconds from the press that ends the speech\n")
    print(f"{'':28}{'p50':>8}{'p95':>8}{'max':>8}")
    for name in rows[0]:
        values = [row[name] for row in rows]
        p95 = quantiles(values, n=20, method="inclusive")[-1]
        print(f"{name:28}{median(values):8.1f}{p95:8.1f}{max(values):8.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
