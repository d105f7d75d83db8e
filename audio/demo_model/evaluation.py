"""Word error rates through Vosk itself: `python -m audio.demo_model.evaluation MODEL SET=PART...`.

MODEL is the folder of a model; SET the name of a set of test sentences, PART a `parts.SpeechPart` with them. The result
is printed as JSON. Vosk must not meet pynini in one process, which `evaluate` sees to by a process of its own.
"""

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from audio import recogniser
from audio.demo_model import voices
from audio.demo_model.mfcc import RATE_HZ
from audio.demo_model.parts import PartError, SpeechPart
from audio.model import ModelError

STYLE: Final = "style"
OUTSIDE: Final = "outside"
OUTSIDE_SHARE: Final = 0.1
"""Of the words in what visitors say are, as is assumed of `mixture_rate`, from sentences outside the style."""
PAD_S: Final = 0.25
"""Of silence before and after each utterance."""


class EvaluationError(Exception):
    """An evaluation that cannot be made. One sentence."""


class Score(msgspec.Struct, frozen=True):
    """Of some utterances."""

    errors: int = 0
    """Words to replace, insert and delete to get from what was said to what was heard."""
    words: int = 0
    perfect: int = 0
    """Utterances without error."""
    utterances: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(
            self.errors + other.errors,
            self.words + other.words,
            self.perfect + other.perfect,
            self.utterances + other.utterances,
        )

    @property
    def rate(self) -> float:
        """The word error rate, 1.0 being as many errors as words; not a number without words."""
        return self.errors / self.words if self.words else math.nan


class VoiceScore(msgspec.Struct, frozen=True):
    """The score of the voices of one `voices.group` with one set of sentences."""

    voice: str
    is_held_out: bool
    test_set: str
    score: Score


class Mistake(msgspec.Struct, frozen=True):
    """An utterance that was not recognised."""

    voice: str
    said: str
    heard: str


class Evaluation(msgspec.Struct, frozen=True):
    """How well and at what cost a model recognises."""

    scores: tuple[VoiceScore, ...]
    mistakes: tuple[Mistake, ...]
    audio_s: float
    decode_s: float
    """Processor time."""
    load_s: float
    memory_bytes: int
    """The most that the model and one utterance's decoding took, as seen at the end of each utterance."""

    def score(self, test_set: str | None = None, voice: str | None = None, *, is_held_out: bool | None = None) -> Score:
        """Of one set of sentences, one voice, one kind of voice, or all."""
        chosen = (
            entry.score
            for entry in self.scores
            if test_set in (None, entry.test_set)
            and voice in (None, entry.voice)
            and is_held_out in (None, entry.is_held_out)
        )
        return sum(chosen, start=Score())

    def mixture_rate(self, voice: str | None = None, *, is_held_out: bool | None = None) -> float:
        """The word error rate if `OUTSIDE_SHARE` of the words are outside the style; not a number without both sets."""
        style = self.score(STYLE, voice, is_held_out=is_held_out).rate
        outside = self.score(OUTSIDE, voice, is_held_out=is_held_out).rate
        return (1 - OUTSIDE_SHARE) * style + OUTSIDE_SHARE * outside

    @property
    def real_time_factor(self) -> float:
        """Processor time for a second of sound, in seconds."""
        return self.decode_s / self.audio_s if self.audio_s else math.nan


class Decoded(NamedTuple):
    """One utterance, what was heard, and what that took."""

    voice: str
    is_held_out: bool
    test_set: str
    said: str
    heard: str
    audio_s: float
    decode_s: float
    memory_bytes: int


def evaluate(model: Path, test_sets: Mapping[str, Path]) -> Evaluation:
    """Decode `SpeechPart`s, by the names of their sets, with the model in a folder; in a process of its own.

    Raises `EvaluationError`.
    """
    packages = str(Path(__file__).parents[2])
    search = os.pathsep.join(filter(None, (packages, os.environ.get("PYTHONPATH"))))
    arguments = [str(model.absolute()), *(f"{name}={path.absolute()}" for name, path in test_sets.items())]
    done = subprocess.run(
        [sys.executable, "-m", __name__, *arguments],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": search, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise EvaluationError(f"the model {model} was not evaluated (exit status {done.returncode}): {last}")
    return msgspec.json.decode(done.stdout, type=Evaluation)


def table(evaluation: Evaluation) -> str:
    """The results as a Markdown table: a line for each voice, then all that were held out, then all others."""
    voices_seen = sorted({(not entry.is_held_out, entry.voice) for entry in evaluation.scores})
    lines = ["| voice | in the training | style | outside | mixture |", "| --- | --- | --- | --- | --- |"]
    lines += [_row(evaluation, voice, is_held_out=not learnt, voice=voice) for learnt, voice in voices_seen]
    for is_held_out, title in ((True, "**all held-out voices**"), (False, "all voices of the training")):
        if evaluation.score(is_held_out=is_held_out).utterances:
            lines.append(_row(evaluation, title, is_held_out=is_held_out))
    return "\n".join(lines) + "\n"


def cost(evaluation: Evaluation) -> str:
    """What decoding took, in one sentence."""
    return (
        f"Of {evaluation.audio_s:.0f} s of sound each second took {evaluation.real_time_factor:.3f} s of processing; "
        f"loading took {evaluation.load_s * 1000:.0f} ms, and all of it {evaluation.memory_bytes / 1e6:.0f} MB.\n"
    )


def edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """The least number of words to replace, insert or delete to make `hypothesis` of `reference`."""
    row = list(range(len(hypothesis) + 1))
    for said_so_far, said in enumerate(reference, start=1):
        diagonal, row[0] = row[0], said_so_far
        for at, heard in enumerate(hypothesis, start=1):
            replaced = diagonal + (said != heard)
            diagonal, row[at] = row[at], min(replaced, row[at] + 1, row[at - 1] + 1)
    return row[-1]


def summary(decoded: Sequence[Decoded]) -> tuple[tuple[VoiceScore, ...], tuple[Mistake, ...]]:
    """The scores by voice and set, in the order of their names, and all mistakes."""
    scores: dict[tuple[str, bool, str], Score] = {}
    mistakes = []
    for one in decoded:
        said, heard = one.said.split(), one.heard.split()
        errors = edits(said, heard)
        key = one.voice, one.is_held_out, one.test_set
        scores[key] = scores.get(key, Score()) + Score(errors, len(said), int(not errors), 1)
        if errors:
            mistakes.append(Mistake(one.voice, one.said, one.heard))
    return tuple(VoiceScore(*key, scores[key]) for key in sorted(scores)), tuple(mistakes)


def _evaluate_here(model: Path, test_sets: Mapping[str, Path]) -> Evaluation:
    if "pynini" in sys.modules:
        raise EvaluationError("Vosk and pynini do not work in one process; use evaluate() of this module")
    parts = {name: SpeechPart.open(path) for name, path in test_sets.items()}
    before_bytes, start_s = _memory_bytes(), time.perf_counter()
    loaded = recogniser.load(model)
    load_s = time.perf_counter() - start_s
    decoded = [one for name, part in parts.items() for one in _decode(loaded, name, part)]
    return Evaluation(
        *summary(decoded),
        audio_s=sum(one.audio_s for one in decoded),
        decode_s=sum(one.decode_s for one in decoded),
        load_s=load_s,
        memory_bytes=max((one.memory_bytes for one in decoded), default=before_bytes) - before_bytes,
    )


def _decode(loaded: recogniser.LoadedModel, test_set: str, part: SpeechPart) -> Iterator[Decoded]:
    pad = bytes(2 * int(RATE_HZ * PAD_S))
    for number, utterance in enumerate(part.utterances):
        sound = pad + part.sound(number).tobytes() + pad
        start_s = time.process_time()
        recognition = recogniser.Recogniser(loaded, RATE_HZ)
        recognition.accept(sound)
        heard = recognition.finish().text
        yield Decoded(
            voices.group(utterance.engine, utterance.voice),
            voices.is_held_out(utterance.engine, utterance.voice),
            test_set,
            utterance.text,
            heard,
            len(sound) / 2 / RATE_HZ,
            time.process_time() - start_s,
            _memory_bytes(),
        )


def _memory_bytes() -> int:
    """What this process has in memory besides mapped files."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


def _row(evaluation: Evaluation, title: str, *, is_held_out: bool, voice: str | None = None) -> str:
    style = evaluation.score(STYLE, voice, is_held_out=is_held_out)
    outside = evaluation.score(OUTSIDE, voice, is_held_out=is_held_out)
    mixture = evaluation.mixture_rate(voice, is_held_out=is_held_out)
    learnt = "no" if is_held_out else "yes"
    return f"| {title} | {learnt} | {_cell(style)} | {_cell(outside)} | {_percent(mixture)} |"


def _cell(score: Score) -> str:
    return f"{_percent(score.rate)} of {score.words}" if score.words else "-"


def _percent(rate: float) -> str:
    return "-" if math.isnan(rate) else f"{100 * rate:.1f} %"


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    if len(arguments) < 2 or not all("=" in argument for argument in arguments[1:]):
        sys.stderr.write("usage: python -m audio.demo_model.evaluation MODEL SET=PART...\n")
        return 2
    pairs = (argument.partition("=") for argument in arguments[1:])
    try:
        evaluation = _evaluate_here(Path(arguments[0]), {name: Path(path) for name, _, path in pairs})
    except (EvaluationError, ModelError, PartError, recogniser.RecogniserError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(evaluation) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
