"""How well the start and the end of speech are found in noise: `python -m benchmarks.speech_activity [--svg FILE]`.

The ear hears a shop, without its recogniser: a recording into which visitors speak at known moments, at known levels
above the noise. Prints tables; `--svg` draws them too, and beside it a PNG where rsvg-convert is installed.
"""

import argparse
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from audio.listener import Listener
from audio.protocol import Event, NothingSaid, SpeechEnded, SpeechStarted
from audio.settings import AudioSettings
from audio.voice import FRAME_MS
from audio.worker import VisitSound
from benchmarks.speech_activity_picture import drawn
from benchmarks.speech_activity_scenes import LEAD_S, Recording, Scenes, Visit, demonstration_speech, spoken_by_espeak
from benchmarks.speech_activity_score import Alone, Figures, Said, alone, figures
from benchmarks.speech_mixing import RATE_HZ

BLOCK_BYTES: Final = RATE_HZ * FRAME_MS // 1000 * 2
WAIT_S: Final = 3.0
"""So long after the true end a visit stays open, if the ear does not say that speech has ended."""
ALONE_VISIT_S: Final = 10.0
ALONE_BETWEEN_S: Final = 2.0

Cell = tuple[str, int | None]
"""A noise and a ratio in decibels."""


class _NoRecogniser:
    """Stands for the recogniser, which has no say in when somebody speaks."""

    backlog_s = 0.0

    def begin(self, visit: VisitSound) -> None: ...
    def feed(self, name: str, samples: bytes) -> None: ...
    def finish(self, name: str) -> None: ...
    def drop(self, name: str) -> None: ...


class Ear:
    """The product's listener, fed with a recording."""

    def __init__(self, settings: AudioSettings, samples: bytes) -> None:
        self._samples = samples
        self._at = 0
        self._events: list[Event] = []
        self._listener = Listener(settings, RATE_HZ, _NoRecogniser(), self._events.append, lambda: self._at_s)

    def visit(self, press_s: float, until_s: float) -> Said:
        """Hear the shop until the press, then the visit until speech has ended, or until `until_s`."""
        while self._at_s < press_s and self._hear():
            pass
        begun_s = self._at_s
        self._events.clear()
        self._listener.begin("visit")
        said = self._noted(Said(), begun_s)
        while said.ended_s is None and self._at_s < until_s and self._hear():
            said = self._noted(said, begun_s)
        self._listener.discard("visit")
        return said

    @property
    def _at_s(self) -> float:
        return self._at / 2 / RATE_HZ

    def _hear(self) -> bool:
        block = self._samples[self._at : self._at + BLOCK_BYTES]
        self._at += len(block)
        self._listener.hear(block)
        return self._at < len(self._samples)

    def _noted(self, said: Said, begun_s: float) -> Said:
        for event in self._events:
            if isinstance(event, SpeechStarted):
                said = said._replace(started_s=begun_s + event.at_s)
            elif isinstance(event, SpeechEnded):
                said = said._replace(ended_s=self._at_s)
            elif isinstance(event, NothingSaid):
                said = said._replace(nothing_said_s=self._at_s)
        self._events.clear()
        return said


class Results(NamedTuple):
    """All that was measured."""

    spoken: dict[Cell, Figures]
    alone: dict[str, Alone]


def measure(spoken: Iterable[Recording], unspoken: Iterable[Recording], settings: AudioSettings) -> Results:
    """Let the ear hear all recordings."""
    visits: dict[Cell, list[tuple[Visit, Said]]] = defaultdict(list)
    for recording in spoken:
        visits[recording.noise, recording.snr_db] += heard(recording, settings)
    silences: dict[str, list[Said]] = defaultdict(list)
    for recording in unspoken:
        silences[recording.noise] += heard_alone(recording, settings)
    return Results(
        {cell: figures(pairs, settings.pause_s) for cell, pairs in visits.items()},
        {noise: alone(said, ALONE_VISIT_S) for noise, said in silences.items()},
    )


def heard(recording: Recording, settings: AudioSettings) -> list[tuple[Visit, Said]]:
    """What the ear said of each visit of a recording."""
    ear = Ear(settings, recording.samples)
    return [(visit, ear.visit(visit.press_s, visit.end_s + WAIT_S)) for visit in recording.visits]


def heard_alone(recording: Recording, settings: AudioSettings) -> list[Said]:
    """What the ear said of visits in which nobody spoke, one after the other."""
    ear = Ear(settings, recording.samples)
    length_s = len(recording.samples) / 2 / RATE_HZ
    said = []
    press_s = LEAD_S
    while press_s + ALONE_VISIT_S <= length_s:
        said.append(ear.visit(press_s, press_s + ALONE_VISIT_S))
        press_s += ALONE_VISIT_S + ALONE_BETWEEN_S
    return said


def table(results: Results) -> Iterator[str]:
    """The figures as lines of text."""
    yield f"{'':12}{'':>9}{'starts found':>18}{'error':>9}{'ends found':>18}{'error':>9}{'cut':>8}{'unheard':>9}"
    yield f"{'noise':12}{'SNR':>9}{'precise':>9}{'recall':>9}{'ms':>9}{'precise':>9}{'recall':>9}{'ms':>9}"
    for (noise, snr_db), row in results.spoken.items():
        shares = (row.start_precision, row.start_recall, row.end_precision, row.end_recall, row.cut, row.unheard)
        start_p, start_r, end_p, end_r, cut, unheard = (_percent(share.percent) for share in shares)
        ratio = "" if snr_db is None else f"{snr_db} dB"
        yield (
            f"{noise:12}{ratio:>9}{start_p:>9}{start_r:>9}{_number(row.start_error_ms):>9}"
            f"{end_p:>9}{end_r:>9}{_number(row.end_error_ms):>9}{cut:>8}{unheard:>9}"
        )
    yield ""
    yield f"{'alone':12}{'false starts a minute':>24}{'ended as nothing said':>24}"
    for noise, silence in results.alone.items():
        yield f"{noise:12}{silence.false_starts_a_minute:>24.2f}{_percent(silence.nothing_said.percent):>24}"


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speech_activity", description=__doc__)
    parser.add_argument("--svg", type=Path, help="draw the figures into this file")
    arguments = parser.parse_args(argv)
    talkers = spoken_by_espeak()
    scenes = Scenes(demonstration_speech(), talkers)
    results = measure(scenes.spoken(), scenes.alone(), AudioSettings())
    print(f"crowd: the demonstration's sentences in other voices, and {len(talkers)} voices of espeak-ng\n")
    print("\n".join(table(results)))
    if arguments.svg:
        arguments.svg.write_text(drawn(results.spoken, results.alone), encoding="utf-8")
        _to_png(arguments.svg)
    return 0


def _to_png(svg: Path) -> None:
    program = shutil.which("rsvg-convert")
    if program:
        subprocess.run([program, "--zoom=2", f"--output={svg.with_suffix('.png')}", str(svg)], check=True)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


if __name__ == "__main__":
    sys.exit(main())
